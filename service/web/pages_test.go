package web

import (
	"fmt"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"nexd/mesh"
)

func TestEveryPageShows(t *testing.T) {
	f := newFake()
	v := visit1(t, newWeb(t, f)).signIn()
	for _, tt := range []struct {
		path  string
		texts []string
	}{
		{"/device", []string{"Connect a node", `name="user_code"`}},
		{"/device?user_code=wdjb-mjht", []string{"Let this node join?", "WDJB-MJHT", "edge-7", "linux", "192.0.2.77", f.pending.Fingerprint, "10.9.0.0/24", `value="default" checked`, "Approve", "Deny"}},
		{"/orgs/default/nodes", []string{"1 of 2 online", "router-berlin", "100.64.0.1", "fd7a:1::1", "172.24.0.0/24", "3 hours ago", "/orgs/default/nodes/n1/remove"}},
		{"/orgs/o1/nodes", []string{"router-berlin"}},
		{"/orgs/default/nodes/n1/remove", []string{"Remove router-berlin?", "172.24.0.0/24", `method="post"`, "Keep it"}},
		{"/orgs/default/prefixes", []string{"172.24.0.0/24", "advertised", "held", "router-berlin", "/orgs/default/prefixes/release?prefix=172.28.0.0%2f24"}},
		{"/orgs/default/prefixes/release?prefix=172.24.0.0%2F24", []string{"Release 172.24.0.0/24?", "cannot be reached any more"}},
		{"/orgs/default/keys", []string{"nxk_abcdef…", "usable", "revoked", "build machines", "2, 3 left", "1, any number left"}},
		{"/orgs/default/keys/k1/revoke", []string{"Revoke the key nxk_abcdef…?"}},
		{"/orgs/default/people", []string{"Ada (you)", "bob@example.org", "cyd@example.org", "open", "Make invitation link"}},
		{"/orgs/default/people/u2/remove", []string{"Remove bob@example.org from default?", "Invitations they made"}},
		{"/orgs/default/people/u1/remove", []string{"Leave default?"}},
		{"/orgs/default/invitations/i1/revoke", []string{"Revoke this invitation?", "cyd@example.org"}},
		{"/orgs/default/audit", []string{"key.create", "ada@example.org", "192.0.2.1", "{&#34;uses&#34;:5}"}},
		{"/orgs", []string{"lab", "owner", "go here", "Send them here"}},
		{"/account", []string{"nxt_abcdef…", "backup", "Sign out everywhere"}},
		{"/account/audit", []string{"What happened to your account", "key.create", "192.0.2.1"}},
		{"/account/tokens/t1/revoke", []string{"Revoke the token nxt_abcdef…?"}},
		{"/invite/good", []string{"Join harbour", "ada@example.org invites you", "member", "You are signed in as ada@example.org"}},
	} {
		t.Run(tt.path, func(t *testing.T) {
			v.t = t
			v.get(tt.path).want(200, tt.texts...).want(200, "<title>", `<html lang="en">`, `action="/logout"`)
			if cc := v.last.Header().Get("Cache-Control"); cc != "no-store" {
				t.Errorf("Cache-Control = %q", cc)
			}
			if got := v.last.Header().Get("Content-Security-Policy"); got != policy {
				t.Errorf("Content-Security-Policy = %q", got)
			}
			v.wantNot("<style", "style=", "onclick", "javascript:", "ZgotmplZ", "<no value>", "%!")
		})
	}
}

func TestHome(t *testing.T) {
	f := newFake()
	w := newWeb(t, f)
	visit1(t, w).get("/").wantTo("/login")
	visit1(t, w).signIn().get("/").wantTo("/orgs/default/nodes")
	visit1(t, w).signIn().get("/orgs/lab").wantTo("/orgs/lab/nodes")
	visit1(t, w).signIn().get("/login").wantTo("/")
	f.orgs = nil
	visit1(t, w).signIn().get("/").wantTo("/orgs").follow().want(200, "You are in no organization")
}

func TestEmptyPagesSayWhatToTypeNext(t *testing.T) {
	f := newFake()
	f.nodes, f.held, f.keyList, f.changes = nil, nil, nil, nil
	v := visit1(t, newWeb(t, f)).signIn()
	join := "https://mesh.example.org/#pin=abc"
	v.get("/orgs/default/nodes").want(200, "No node has joined yet", "nexd --userspace "+join, "nexd router --userspace --advertise-cidr=172.24.0.0/24 "+join)
	v.get("/orgs/default/prefixes").want(200, "No prefix is held", "--advertise-cidr=")
	v.get("/orgs/default/keys").want(200, "No key has been made", "Make key")
	v.get("/orgs/default/audit").want(200, "Nothing has been changed")
}

func TestSetup(t *testing.T) {
	f := newFake()
	f.first = true
	v := visit1(t, newWeb(t, f))
	v.get("/").wantTo("/setup").follow().want(200, "This nexd is new").wantNot(`type="password"`)
	v.get("/login").wantTo("/setup")
	v.get("/setup?token=stale").want(403, "not, or no longer, good").wantNot(`type="password"`)
	v.get("/setup?token=good").want(200, "Set up nexd", `value="good"`)
	v.post("/setup", "token", "good", "email", "ada", "password", "short", "again", "short").
		want(400, "2 things need another look", `href="#email"`, `aria-invalid="true"`, "at least 8 characters", `value="ada"`).wantNot(`value="short"`)
	v.post("/setup", "token", "good", "email", "ada@example.org", "password", "correct horse", "again", "other horse!").want(400, "The two passwords differ")
	if f.called("Setup") {
		t.Fatal("an account was made of a form with mistakes")
	}
	v.post("/setup", "token", "good", "email", "ada@example.org", "name", "Ada", "password", "correct horse", "again", "correct horse").wantTo("/").follow().wantTo("/orgs/default/nodes").follow().want(200, "nexd is set up")
	if !f.called("Setup good ada@example.org Ada") {
		t.Errorf("calls: %q", f.calls)
	}
	v.get("/setup?token=good").wantTo("/")
}

func TestLogin(t *testing.T) {
	f := newFake()
	w := newWeb(t, f)
	v := visit1(t, w)
	v.get("/login").post("/login").want(400, "Enter your e-mail address.", "Enter your password.", `aria-describedby="email-wrong"`)
	v.post("/login", "email", "ada@example.org", "password", "wrong").want(403, "E-mail address or password is wrong.", `value="ada@example.org"`).wantNot(`value="wrong"`)
	v.post("/login", "email", "ada@example.org", "password", "correct horse").wantTo("/")
	f.fail["Login"] = mesh.Errorf(mesh.Exhausted, "people: too many tries; wait 30 seconds")
	visit1(t, w).get("/login").post("/login", "email", "a@b", "password", "x").want(429, "Too many tries; wait 30 seconds.")
	f.fail["Login"] = mesh.Errorf(mesh.Internal, "store: table users is corrupt at page 7")
	visit1(t, w).get("/login").post("/login", "email", "a@b", "password", "x").want(500, "Its log says why").wantNot("corrupt")
}

func TestDevice(t *testing.T) {
	f := newFake()
	w := newWeb(t, f)
	v := visit1(t, w)
	v.get("/device?user_code=WDJB-MJHT").wantTo("/login?next=%2Fdevice%3Fuser_code%3DWDJB-MJHT")
	v.follow().want(200, "A node waits to be let in")
	v.post("/login", "email", "ada@example.org", "password", "correct horse", "next", "/device?user_code=WDJB-MJHT").wantTo("/device?user_code=WDJB-MJHT").follow()
	if f.called("ApproveNode") {
		t.Fatal("looking approved")
	}
	v.post("/device/approve", "user_code", "WDJB-MJHT", "org", "lab").want(303)
	if !f.called("ApproveNode WDJB-MJHT lab") || v.location() != fmt.Sprintf("/orgs/lab/nodes?since=%d&waiting=%s", t0.Unix(), url.QueryEscape(f.pending.Key.String())) {
		t.Fatalf("calls %q, sent to %q", f.calls, v.location())
	}
	v.follow().want(200, `data-wait="2"`, "goes on by itself now", f.pending.Fingerprint)
	f.nodes[0].Key, f.nodes[0].Online, f.nodes[0].Name = f.pending.Key, true, "edge-7"
	v.get(v.at()).want(200, "<b>edge-7</b> has joined and is online").wantNot("data-wait")

	v.get("/device?user_code=WDJB-MJHT").post("/device/deny", "user_code", "WDJB-MJHT").wantTo("/device").follow().want(200, "edge-7 was turned away")
	v.get("/device?user_code=BBBB-BBBB").want(404, "No node waits with this code", `value="BBBB-BBBB"`)
	f.pending.State = "approved"
	v.get("/device?user_code=WDJB-MJHT").want(200, "answered already").wantNot("/device/approve")
	f.fail["PendingNode"] = mesh.Errorf(mesh.Exhausted, "people: too many wrong codes")
	v.get("/device?user_code=CCCC-CCCC").want(429, "Too many wrong codes.")
}

// Somebody who approves is told before, not after, that the node will be refused,
// and is not left with a page that waits for it for ever.
func TestApprovalThatCannotHelp(t *testing.T) {
	f := newFake()
	now := t0
	v := visit1(t, newWeb(t, f, func(c *Config) { c.Now = func() time.Time { return now } })).signIn()
	v.get("/device?user_code=WDJB-MJHT").want(200).wantNot("would be refused")
	f.pending.Prefixes = []netip.Prefix{netip.MustParsePrefix("172.24.0.128/25")}
	v.get("/device?user_code=WDJB-MJHT").want(200, "would be refused", "<b>router-berlin</b>", "172.24.0.0/24", "--advertise-cidr=OTHER=172.24.0.128/25", "/device/approve")
	v.post("/device/approve", "user_code", "WDJB-MJHT", "org", "gone").wantTo("/device?user_code=WDJB-MJHT").follow().want(200, "not in the organization gone")
	if f.called("ApproveNode") {
		t.Errorf("approved for an organization that is not the visitor's: %q", f.calls)
	}
	v.post("/device/approve", "user_code", "WDJB-MJHT", "org", "default").follow().want(200, `data-wait="2"`, "goes on by itself now")
	page := v.at()
	now = now.Add(lateAfter)
	v.get(page).want(200, `data-wait="10"`, "its terminal says so and why").wantNot("goes on by itself now")
	now = now.Add(lookUntil)
	v.get(page).want(200, "its terminal says so and why").wantNot("data-wait")
	for _, since := range []string{"", "x", "-1", "99999999999999999999"} {
		v.get("/orgs/default/nodes?since=" + since + "&waiting=" + url.QueryEscape(f.pending.Key.String())).want(200)
	}
}

func TestAuditorMayApproveNothing(t *testing.T) {
	f := newFake()
	f.role = mesh.RoleAuditor
	v := visit1(t, newWeb(t, f)).signIn()
	v.get("/device?user_code=WDJB-MJHT").want(200, "in no organization that you may let nodes into").wantNot("/device/approve", "/device/deny") // neither would work
}

// Buttons are a courtesy: what a role may not do is not offered.
func TestPagesByRole(t *testing.T) {
	for _, tt := range []struct {
		role          mesh.Role
		manages, sees bool
	}{{mesh.RoleOwner, true, true}, {mesh.RoleAdmin, true, true}, {mesh.RoleAuditor, false, true}, {mesh.RoleMember, false, false}} {
		t.Run(string(tt.role), func(t *testing.T) {
			f := newFake()
			f.role = tt.role
			v := visit1(t, newWeb(t, f)).signIn()
			has := func(path, text string, want bool) {
				t.Helper()
				v.t = t
				v.get(path).want(200)
				if got := strings.Contains(v.body(), text); got != want {
					t.Errorf("%s has %q: %v, want %v", path, text, got, want)
				}
			}
			has("/orgs/default/nodes", "/remove", tt.manages)
			has("/orgs/default/prefixes", "/release", tt.manages)
			has("/orgs/default/keys", "Make key", tt.manages)
			has("/orgs/default/people", "Make invitation link", tt.manages)
			has("/orgs/default/people", "cyd@example.org", tt.sees)
			has("/orgs/default/nodes", "/orgs/default/audit", tt.sees)
			has("/orgs/default/people", `value="owner"`, tt.role == mesh.RoleOwner)
		})
	}
}

func TestChanges(t *testing.T) {
	f := newFake()
	v := visit1(t, newWeb(t, f)).signIn()
	for _, tt := range []struct {
		page, post string
		form       []string
		call       string
		to, says   string // empty to: the page is shown at once
	}{
		{"/orgs/default/nodes/n1/remove", "/orgs/default/nodes/n1/remove", nil, "RemoveNode o1 n1", "/orgs/default/nodes", "router-berlin was removed."},
		{"/orgs/default/prefixes/release?prefix=172.24.0.0/24", "/orgs/default/prefixes/release", []string{"prefix", "172.24.0.0/24"}, "ReleasePrefix o1 172.24.0.0/24", "/orgs/default/prefixes", "172.24.0.0/24 was released; router-berlin held it."},
		{"/orgs/default/keys", "/orgs/default/keys", []string{"description", "CI", "uses", "5", "life", "week"}, "CreateKey o1 CI 5 168h0m0s", "", "nxk_secretsecret"},
		{"/orgs/default/keys", "/orgs/default/keys", []string{"uses", "", "life", "ever"}, "CreateKey o1  0 0s", "", "nxk_secretsecret"},
		{"/orgs/default/keys/k1/revoke", "/orgs/default/keys/k1/revoke", nil, "RevokeKey o1 k1", "/orgs/default/keys", "was revoked"},
		{"/orgs/default/people", "/orgs/default/people/u2/role", []string{"role", "admin"}, "SetRole o1 u2 admin", "/orgs/default/people", "bob@example.org is admin now."},
		{"/orgs/default/people/u2/remove", "/orgs/default/people/u2/remove", nil, "RemoveMember o1 u2", "/orgs/default/people", "bob@example.org was removed"},
		{"/orgs/default/people", "/orgs/default/invitations", []string{"email", "dee@example.org", "role", "member", "life", "day"}, "Invite o1 member dee@example.org 24h0m0s", "", "https://mesh.example.org/invite/secret-invitation"},
		{"/orgs/default/invitations/i1/revoke", "/orgs/default/invitations/i1/revoke", nil, "RevokeInvitation o1 i1", "/orgs/default/people", "The invitation was revoked."},
		{"/account", "/account/tokens", []string{"description", "cron", "life", "month", "scope", "write"}, "CreateToken cron [read write] 720h0m0s", "", "nxt_secretsecret"},
		{"/account/tokens/t1/revoke", "/account/tokens/t1/revoke", nil, "RevokeToken t1", "/account", "was revoked"},
		{"/orgs", "/orgs", []string{"name", "harbour"}, "CreateOrganization harbour", "/orgs/harbour/nodes", ""},
		{"/orgs", "/orgs/default", []string{"org", "lab"}, "SetDefault lab", "/orgs", "Changed where"},
		{"/invite/good", "/invite/good/accept", nil, "AcceptInvitation good", "/orgs/harbour/nodes", ""},
	} {
		t.Run(tt.call, func(t *testing.T) {
			v.t = t
			v.get(tt.page).want(200).post(tt.post, tt.form...)
			if !f.called(tt.call) {
				t.Fatalf("%q was not called but %q\n%s", tt.call, f.calls, v.body())
			}
			switch {
			case tt.to == "":
				v.want(200, tt.says, "not shown again")
				v.get(tt.page).wantNot(tt.says)
			case tt.says == "":
				v.wantTo(tt.to)
			default:
				v.wantTo(tt.to).follow().want(200, tt.says)
				v.get(tt.to).wantNot(`class="note good"`) // a message is shown once
			}
		})
	}
}

func TestMistakesComeBackWithTheForm(t *testing.T) {
	f := newFake()
	v := visit1(t, newWeb(t, f)).signIn()
	v.get("/orgs/default/keys").post("/orgs/default/keys", "uses", "many", "life", "day", "description", "CI").want(400, "from 1 up", `value="many"`, `value="CI"`, `href="#uses"`)
	v.get("/orgs").post("/orgs", "name", "Harbour").want(400, "is no DNS label", `value="Harbour"`)
	v.get("/account").post("/account/tokens", "life", "month", "scope", "read").want(400, "what the token is for")
	v.get("/account").post("/account/tokens", "description", "x", "life", "ever", "scope", "all").want(400, "2 things need another look")
	v.get("/account").post("/account/password", "old", "wrong", "password", "new password", "again", "new password").want(403, "The present password is wrong.")
	v.get("/account").post("/account/password", "old", "correct horse", "password", "new password", "again", "other").want(400, "differ")
	v.get("/orgs/default/prefixes").post("/orgs/default/prefixes/release", "prefix", "nonsense").want(400, "is not of the form")
	f.fail["RemoveNode"] = mesh.Errorf(mesh.Denied, "people: a member may not remove nodes")
	v.get("/orgs/default/nodes/n1/remove").post("/orgs/default/nodes/n1/remove").want(403, "A member may not remove nodes.")
	f.fail["Nodes"] = mesh.Errorf(mesh.Unavailable, "store: list nodes: disk I/O error at /var/lib/x")
	v.get("/orgs/default/nodes").want(503, "cannot use its database").wantNot("/var/lib")
}

func TestInvitation(t *testing.T) {
	f := newFake()
	w := newWeb(t, f)
	v := visit1(t, w)
	v.get("/invite/bad").want(404, "it was used, revoked, or has expired")
	v.get("/invite/good").want(200, "Join harbour", `value="cyd@example.org"`, "readonly", "in 7 days")
	v.post("/invite/good", "email", "cyd@example.org", "name", "Cyd", "password", "correct horse", "again", "correct horse").wantTo("/")
	if !f.called("SignUp good cyd@example.org Cyd") {
		t.Errorf("calls %q", f.calls)
	}
	v = visit1(t, w)
	v.get("/invite/good").post("/invite/good/accept").wantTo("/login?next=%2Finvite%2Fgood")
}

func TestNothingThereIsTheSameAsNotYours(t *testing.T) {
	v := visit1(t, newWeb(t, newFake())).signIn()
	a := v.get("/orgs/nope/nodes").want(404).body()
	b := v.get("/orgs/nope/keys").want(404).body()
	if strings.ReplaceAll(a, v.token(), "") != strings.ReplaceAll(b, v.token(), "") {
		t.Error("two foreign pages differ")
	}
	v.get("/nothing/here").want(404, "There is no such page.")
	v.get("/orgs/default/nodes/nope/remove").want(404)
	v.get("/orgs/default/keys/nope/revoke").want(404)
	v.get("/static/nope").want(404)
}

func TestAuditPages(t *testing.T) {
	f := newFake()
	e := f.changes[0]
	for range auditPage {
		f.changes = append(f.changes, e)
	}
	v := visit1(t, newWeb(t, f)).signIn()
	v.get("/orgs/default/audit").want(200, `href="?before=a1"`).wantNot(">Newest<")
	v.get("/orgs/default/audit?before=a1").want(200, ">Newest<")
	if !f.called("Audit o1 a1") {
		t.Errorf("calls %q", f.calls)
	}
	v.get("/account").want(200, `href="/account/audit"`)
	v.get("/account/audit?before=a1").want(200, "Every change of <b>ada@example.org</b>", `href="/account/audit">Newest<`, `href="?before=a1"`)
	if !f.called("OwnAudit a1") {
		t.Errorf("calls %q", f.calls)
	}
	f.changes = nil
	v.get("/account/audit").want(200, "Nothing has been changed")
}

func TestStaticFilesAreKept(t *testing.T) {
	v := visit1(t, newWeb(t, newFake()))
	page := v.get("/login").want(200).body()
	for _, name := range []string{"style.css", "app.js", "icon.svg"} {
		i := strings.Index(page, "/static/"+name)
		if i < 0 {
			t.Fatalf("no %s on the page", name)
		}
		path := page[i : i+strings.IndexByte(page[i:], '"')]
		v.get(path).want(200)
		if cc := v.last.Header().Get("Cache-Control"); !strings.Contains(cc, "immutable") {
			t.Errorf("%s: Cache-Control %q", path, cc)
		}
		v.get("/static/" + name + "?v=old")
		if cc := v.last.Header().Get("Cache-Control"); cc != "no-store" {
			t.Errorf("%s with another sum: Cache-Control %q", name, cc)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	ok := Config{People: newFake(), PublicURL: "https://mesh.example.org"}
	p := Provider{ID: "corp", Name: "Corp", Issuer: "https://id.example.org", ClientID: "x"}
	for name, change := range map[string]func(*Config){
		"no people":       func(c *Config) { c.People = nil },
		"no URL":          func(c *Config) { c.PublicURL = "" },
		"URL of a file":   func(c *Config) { c.PublicURL = "file:///etc" },
		"provider's ID":   func(c *Config) { q := p; q.ID = "../x"; c.Providers = []Provider{q} },
		"issuer in clear": func(c *Config) { q := p; q.Issuer = "http://id.example.org"; c.Providers = []Provider{q} },
		"no client":       func(c *Config) { q := p; q.ClientID = ""; c.Providers = []Provider{q} },
		"one ID twice":    func(c *Config) { c.Providers = []Provider{p, p} },
	} {
		cfg := ok
		change(&cfg)
		if _, err := New(cfg); mesh.KindOf(err) != mesh.Invalid || err == nil {
			t.Errorf("%s: New = %v, want an Invalid error", name, err)
		}
	}
	if _, err := New(ok); err != nil {
		t.Errorf("New = %v", err)
	}
}
