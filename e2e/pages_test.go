package e2e

import (
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// console is a service on an empty database and its output at the start.
func (l *lab) console(t *testing.T) (svc *proc, url, setup string) {
	t.Helper()
	svc = l.start("", "nexservice", nil, bin("nexservice"), "serve", "--db="+filepath.Join(l.ownDir("svc"), "nexd.db"), "--listen=127.0.0.1:0")
	url = regexp.MustCompile(`https://\S+`).FindString(svc.line("ready ", patience))
	setup = strings.TrimPrefix(svc.line("setup ", patience), "setup ")
	return svc, url, setup
}

// terminal starts a nexd without a key, which waits for approval.
func (l *lab) terminal(name string, args ...string) *proc {
	l.t.Helper()
	args = append(append([]string{bin("nexd")}, args...), "--userspace", "--hostname="+name, "--state-dir="+l.ownDir("state-"+name), "--proxy-listen=off")
	return l.start("", "nexd "+name, nil, args...)
}

// TestPages visits the service's pages with a browser and a keyboard, from the first link on
// the console to the approval of a node. It saves pictures of every page and checks each
// with axe-core.
func TestPages(t *testing.T) {
	l := newLab(t, "chromium")
	l.sh("ip", "link", "set", "lo", "up") // down in a namespace of our own
	svc, url, setup := l.console(t)
	base, _, _ := strings.Cut(url, "/#")
	b := newBrowser(t, strings.TrimSuffix(base, "/"))

	step := func(name string, do func(t *testing.T)) { // each builds on those before
		if !t.Run(name, func(t *testing.T) { b.t = t; do(t) }) {
			t.FailNow()
		}
	}
	step("first-run set-up", func(t *testing.T) {
		b.open("/")
		b.sees("This nexd is new")
		b.picture("01-new")
		b.open(setup)
		b.sees("Set up nexd")
		b.picture("02-setup")
		b.fill("email", "ada@example.org", "name", "Ada Lovelace", "password", "short", "again", "short")
		b.press("Create account")
		b.sees("at least 8 characters")
		b.picture("03-setup-mistake")
		b.fill("password", password, "again", password)
		b.press("Create account")
		b.sees("nexd is set up", "No node has joined yet", "nexd --userspace "+url)
		b.picture("04-nodes-empty")
		b.open("/orgs/default/prefixes")
		b.picture("05-prefixes-empty")
	})
	step("login", func(t *testing.T) {
		b.signOut()
		b.open("/orgs/default/nodes")
		b.sees("Sign in")
		b.picture("06-login")
		b.fill("email", "ada@example.org", "password", "wrong password")
		b.press("Sign in")
		b.sees("Wrong e-mail address or password.")
		b.picture("07-login-mistake")
		b.fill("password", password)
		b.press("Sign in")
		b.sees("No node has joined yet")
	})
	var router *proc
	step("a node that waits in a terminal", func(t *testing.T) {
		router = l.terminal("router-berlin", "router", "--advertise-cidr=172.24.0.0/24", url)
		k := router.shows()
		b.open("/device")
		b.picture("08-code")
		b.fill("user_code", "BBBBBBBB")
		b.press("Show the node")
		b.sees("No node is waiting with this code")
		b.picture("09-code-mistake")
		b.fill("user_code", strings.ToLower(strings.ReplaceAll(k.code, "-", " ")))
		b.press("Show the node")
		b.sees("Let this node join?", k.code, k.fingerprint, "router-berlin", "linux", "127.0.0.1", "172.24.0.0/24")
		b.picture("10-approve")
		b.press("Approve")
		b.sees("router-berlin has joined and is online.") // the page looks again by itself
		router.line("ready router-berlin ", patience)
		b.sees("172.24.0.0/24", "100.64.0.1", "1 of 1 online")
		b.open("/orgs/default/nodes")
		b.picture("11-nodes")
	})
	step("a node that is turned away", func(t *testing.T) {
		stranger := l.terminal("stranger", "join", url)
		b.open(stranger.shows().link)
		b.sees("stranger", "none")
		b.press("Deny")
		b.sees("stranger was denied")
		if code := stranger.exit(patience); code == 0 {
			t.Errorf("a node that was turned away exits with %d", code)
		}
		b.open("/orgs/default/nodes")
		b.lacks("stranger")
	})
	step("a key", func(t *testing.T) {
		b.open("/orgs/default/keys")
		b.picture("12-keys-empty")
		b.fill("description", "build machines", "uses", "3")
		b.press("Create key")
		b.sees("Copy it now")
		key := b.eval(`document.getElementById("secret").textContent`)
		if !strings.HasPrefix(key, "nxk_") {
			t.Fatalf("the key is %q", key)
		}
		b.picture("13-key-made")
		b.open("/orgs/default/keys")
		b.sees("usable", "build machines", "0, 3 left")
		b.lacks(key)
		b.picture("14-keys")
	})
	step("release of a prefix", func(t *testing.T) {
		router.stop(syscall.SIGTERM)
		b.open("/orgs/default/prefixes")
		b.sees("172.24.0.0/24", "router-berlin")
		b.picture("15-prefixes")
		b.press("Release 172.24.0.0/24")
		b.sees("Release 172.24.0.0/24?")
		b.picture("16-release")
		b.press("Release 172.24.0.0/24")
		b.sees("172.24.0.0/24 was released", "No prefix is held")
	})
	step("people and organizations", func(t *testing.T) {
		b.open("/orgs/default/people")
		b.fill("email", "bob@example.org")
		b.press("Create invitation link")
		b.sees("It can be used once")
		link := b.eval(`document.getElementById("secret").textContent`)
		b.picture("17-people")
		b.open("/orgs")
		b.fill("name", "lab-berlin")
		b.press("Create organization")
		b.sees("lab-berlin was created, and you own it.")
		b.open("/orgs")
		b.picture("18-orgs")
		b.open("/account")
		b.fill("description", "backup script")
		b.press("Create token")
		b.sees("Copy it now")
		b.picture("19-account")
		b.open("/account")
		b.press("Account audit")
		b.sees("token.create", "user.create", "127.0.0.1")
		b.picture("23-account-audit")
		b.open("/orgs/default/audit")
		b.sees("ada@example.org", "172.24.0.0/24")
		b.picture("20-audit")
		b.open("/orgs/default/nothing")
		b.sees("Page not found")
		b.picture("21-error")
		b.signOut()
		b.open(link)
		b.sees("Join default", "ada@example.org invites you")
		b.picture("22-invitation")
		b.fill("name", "Bob", "password", password, "again", password)
		b.press("Create account and join")
		b.sees("Welcome")
		b.open("/orgs/default/keys")
		b.sees("Not allowed")
		b.open("/orgs/lab-berlin/nodes")
		b.sees("Page not found")
	})
	if strings.Contains(svc.log(), password) {
		t.Error("a password is in the service's log")
	}
}

// signOut opens the person's menu and signs out.
func (b *browser) signOut() {
	b.t.Helper()
	b.eval(`document.querySelector(".bar-end summary").click()`)
	b.eval(`document.querySelector("form[action='/logout'] button").click()`)
	b.sees("You are signed out.")
}
