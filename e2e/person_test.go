package e2e

import (
	"html"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"nexd/internal/eventually"
)

// person is a user on a host with a minimal browser: curl, a cookie jar and a form parser.
type person struct {
	w   *world
	ns  string
	jar string
	at  string // URL of the page last seen
	see string // that page
}

// slowly is the time limit for steps that hash a password, on a machine with other load.
const slowly = 70 * time.Second

const password = "correct horse battery staple"

func (w *world) person(ns string) *person {
	return &person{w: w, ns: ns, jar: filepath.Join(w.ownDir("browser-"+ns), "cookies")}
}

// browse requests a URL with the cookies, or sends a form to it, and expects a page.
func (p *person) browse(url string, form ...string) {
	p.w.t.Helper()
	if code := p.ask(url, form...); code != "200" {
		p.w.t.Fatalf("%s answers %s at %s\n%s", url, code, p.at, p.see)
	}
}

// ask is browse for any status, which it returns. It follows redirects. The browser accepts
// the service's certificate, like a person after comparing it.
func (p *person) ask(url string, form ...string) (status string) {
	p.w.t.Helper()
	args := []string{"curl", "-sSk", "-L", "--max-time", "60", "-b", p.jar, "-c", p.jar, "-w", "\n%{http_code} %{url_effective}"}
	for _, f := range form {
		args = append(args, "--data-urlencode", f)
	}
	out := p.w.must(p.ns, slowly, append(args, url)...)
	last := strings.LastIndexByte(out, '\n')
	p.see = out[:last]
	status, p.at, _ = strings.Cut(out[last+1:], " ")
	return status
}

var (
	formTag  = regexp.MustCompile(`(?s)<form[^>]*\saction="([^"]*)"[^>]*>(.*?)</form>`)
	inputTag = regexp.MustCompile(`(?s)<input[^>]*>`)
	attrTag  = regexp.MustCompile(`([a-z]+)="([^"]*)"`)
)

// submit fills in the page's form for action and sends it, including hidden and selected
// fields; to is the target of its button, if given.
func (p *person) submit(action, to string, fields ...string) {
	p.w.t.Helper()
	for _, f := range formTag.FindAllStringSubmatch(p.see, -1) {
		if html.UnescapeString(f[1]) != action {
			continue
		}
		for _, tag := range inputTag.FindAllString(f[2], -1) {
			attr := map[string]string{}
			for _, a := range attrTag.FindAllStringSubmatch(tag, -1) {
				attr[a[1]] = html.UnescapeString(a[2])
			}
			if attr["type"] == "hidden" || attr["type"] == "radio" && strings.Contains(tag, " checked") {
				fields = append(fields, attr["name"]+"="+attr["value"])
			}
		}
		if to == "" {
			to = action
		}
		p.browse(p.site()+to, fields...)
		return
	}
	p.w.t.Fatalf("no form for %s at %s\n%s", action, p.at, p.see)
}

func (p *person) site() string {
	return regexp.MustCompile(`^https?://[^/]+`).FindString(p.at)
}

// signIn fills in the sign-in form, to which a visitor without a session is redirected.
func (p *person) signIn() {
	p.w.t.Helper()
	p.submit("/login", "", "email=ada@example.org", "password="+password)
}

// sees fails the test unless the page shows all of these.
func (p *person) sees(texts ...string) {
	p.w.t.Helper()
	for _, text := range texts {
		if !strings.Contains(html.UnescapeString(p.see), text) {
			p.w.t.Fatalf("no %q at %s\n%s", text, p.at, p.see)
		}
	}
}

// ticket is the link, code and fingerprint of a waiting nexd.
type ticket struct{ link, code, fingerprint string }

var ticketText = regexp.MustCompile(`(?s)\n    (https://\S+)\n.* code  ([A-Z]{4}-[A-Z]{4})\n.*fingerprint +([0-9a-f ]{24})\n`)

// shows waits until a node shows its link and code.
func (p *proc) shows() (k ticket) {
	p.t.Helper()
	eventually.Within(p.t, slowly, p.name+" shows a link", func() bool {
		m := ticketText.FindStringSubmatch(p.log())
		if m == nil {
			return false
		}
		k = ticket{m[1], m[2], m[3]}
		return true
	})
	return k
}

// typed starts a command line as a person types it: name and state of the node come from its
// host, not from flags.
func (w *world) typed(ns string, line string) *node {
	w.t.Helper()
	words := strings.Fields(line)
	n := &node{w: w, ns: ns, state: filepath.Join(w.ownDir("home-"+ns), "nexd"), args: append([]string{bin(words[0])}, words[1:]...)}
	n.proc = w.start(ns, line, []string{"XDG_STATE_HOME=" + filepath.Dir(n.state), "NEXD_HOSTNAME=" + ns}, n.args...)
	return n
}

// joined waits for the ready line of a node started with typed.
func (n *node) joined() {
	n.w.t.Helper()
	n.isReady(n.line("ready ", slowly))
}

func endsWith(t *testing.T, p *proc, code int, texts ...string) {
	t.Helper()
	if got := p.exit(slowly); got != code {
		t.Errorf("%s: exit code %d, want %d\n%s", p.name, got, code, p.log())
	}
	for _, text := range texts {
		if !strings.Contains(p.log(), text) {
			t.Errorf("%s does not say %q\n%s", p.name, text, p.log())
		}
	}
}
