package web

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"nexd/control"
	"nexd/mesh"
)

// A session that somebody planted in the browser is not the one that is signed in.
func TestSessionFixation(t *testing.T) {
	f := newFake()
	w := newWeb(t, f)
	attacker := f.open("mallory@example.org").Cookie
	v := visit1(t, w)
	v.get("/login")
	v.cookies["__Host-nexd-form"] = "planted-planted-planted-planted-planted-planted"
	v.get("/login")
	v.cookies["__Host-nexd"] = "planted"
	v.post("/login", "email", "ada@example.org", "password", "correct horse").wantTo("/")
	if got := v.cookies["__Host-nexd"]; got == "planted" || got == "" {
		t.Fatalf("session cookie after the sign-in is %q", got)
	}
	if _, ok := v.cookies["__Host-nexd-form"]; ok {
		t.Error("the form cookie from before the sign-in is still good")
	}

	v = visit1(t, w)
	v.cookies["__Host-nexd"] = attacker
	v.get("/orgs").post("/logout").wantTo("/login").follow()
	v.post("/login", "email", "ada@example.org", "password", "correct horse").wantTo("/")
	if !f.called("Logout "+attacker) || v.cookies["__Host-nexd"] == attacker {
		t.Error("the session before the sign-in lives on")
	}
	before := v.cookies["__Host-nexd"]
	v.get("/account").post("/account/password", "old", "correct horse", "password", "new password", "again", "new password").wantTo("/account")
	if v.cookies["__Host-nexd"] == before {
		t.Error("the session is the same after a change of the password")
	}
}

func TestCookies(t *testing.T) {
	w := newWeb(t, newFake())
	v := visit1(t, w).signIn()
	var seen bool
	for _, c := range v.last.Result().Cookies() {
		if !strings.HasPrefix(c.Name, "__Host-") || !c.Secure || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Domain != "" {
			t.Errorf("cookie %v", c)
		}
		seen = seen || c.Name == "__Host-nexd" && c.MaxAge == int((24*time.Hour).Seconds())
	}
	if !seen {
		t.Error("no session cookie")
	}
	plain := newWeb(t, newFake(), func(c *Config) { c.PublicURL = "http://127.0.0.1:8080" })
	v = visit1(t, plain).signIn()
	if c := v.cookies["nexd"]; c == "" {
		t.Error("without TLS there is no session cookie that a browser would take")
	}
	v = visit1(t, w).signIn()
	v.get("/account").post("/account/sessions/end").wantTo("/login")
	if _, ok := v.cookies["__Host-nexd"]; ok {
		t.Error("the cookie stays after signing out")
	}
}

// Every form that changes something is refused from another site, without a token,
// with an old one, and with another session's.
func TestCSRF(t *testing.T) {
	f := newFake()
	w := newWeb(t, f)
	stale := visit1(t, w).signIn().get("/orgs").token()
	v := visit1(t, w).signIn().get("/orgs")
	good := v.token()
	calls := len(f.calls)
	for _, path := range []string{
		"/device/approve", "/device/deny", "/account/tokens", "/account/tokens/t1/revoke", "/account/password", "/account/sessions/end", "/orgs", "/orgs/default",
		"/orgs/default/nodes/n1/remove", "/orgs/default/prefixes/release", "/orgs/default/keys", "/orgs/default/keys/k1/revoke", "/orgs/default/people/u2/role",
		"/orgs/default/people/u2/remove", "/orgs/default/invitations", "/orgs/default/invitations/i1/revoke", "/invite/good/accept", "/invite/good", "/logout", "/login", "/setup",
	} {
		for name, send := range map[string]func(){
			"another site":     func() { v.postRaw(path, url.Values{"form": {good}}, "cross-site") },
			"another port":     func() { v.postRaw(path, url.Values{"form": {good}}, "same-site") },
			"no token":         func() { v.postRaw(path, url.Values{}, "same-origin") },
			"token of another": func() { v.postRaw(path, url.Values{"form": {stale}}, "same-origin") },
			"token in the URL": func() { v.postRaw(path+"?form="+good, url.Values{}, "same-origin") },
			"an old browser": func() {
				v.header.Set("Origin", "https://evil.example")
				defer v.header.Del("Origin")
				v.postRaw(path, url.Values{"form": {good}}, "")
			},
		} {
			send()
			if path == "/login" && v.last.Code == http.StatusSeeOther {
				continue // who is in already goes on; nothing is done
			}
			if v.last.Code != http.StatusForbidden {
				t.Errorf("%s from %s: status %d", path, name, v.last.Code)
			}
		}
	}
	if len(f.calls) != calls {
		t.Errorf("something was done: %q", f.calls[calls:])
	}
	v.postRaw("/orgs/default", url.Values{"form": {good}, "org": {"lab"}}, "same-origin").wantTo("/orgs") // the token itself is good
	v = visit1(t, w)
	v.postRaw("/login", url.Values{"email": {"ada@example.org"}, "password": {"correct horse"}}, "same-origin").want(403) // a sign-in, too
}

func TestOpenRedirect(t *testing.T) {
	w := newWeb(t, newFake())
	for next, want := range map[string]string{
		"/device?user_code=WDJB-MJHT":  "/device?user_code=WDJB-MJHT",
		"/orgs/default/nodes":          "/orgs/default/nodes",
		"":                             "/",
		"https://evil.example/":        "/",
		"//evil.example/":              "/",
		"///evil.example":              "/",
		`/\evil.example`:               "/",
		`\\evil.example`:               "/",
		"/\t/evil.example":             "/",
		"/\n/evil.example":             "/",
		"javascript:alert(1)":          "/",
		"evil":                         "/",
		"/%0d%0aSet-Cookie:x":          "/%0d%0aSet-Cookie:x", // stays a path
		"/" + strings.Repeat("a", 600): "/",
	} {
		v := visit1(t, w).get("/login?next=" + url.QueryEscape(next)).want(200)
		v.post("/login", "email", "ada@example.org", "password", "correct horse", "next", next).wantTo(want)
		v.get("/login?next=" + url.QueryEscape(next)).wantTo(want)
	}
}

func FuzzLocalPath(f *testing.F) {
	for _, s := range []string{"/", "//x", `/\x`, "/device?user_code=A", "/\x00", "http://x", "/a//b", "/.//x"} {
		f.Add(s)
	}
	base, _ := url.Parse("https://mesh.example.org/login")
	f.Fuzz(func(t *testing.T, s string) {
		p := localPath(s)
		u, err := base.Parse(p)
		if err != nil || u.Host != base.Host || u.Scheme != "https" || strings.ContainsAny(p, "\\\r\n\t\x00") {
			t.Errorf("localPath(%q) = %q leads to %v, %v", s, p, u, err)
		}
	})
}

// Nothing that leaves a page is made from what a request says of its host.
func TestHostHeaderPoisoning(t *testing.T) {
	f := newFake()
	f.nodes = nil
	w := newWeb(t, f)
	v := visit1(t, w)
	v.host = "evil.example"
	v.header.Set("X-Forwarded-Host", "evil.example")
	v.header.Set("X-Forwarded-Proto", "http")
	v.header.Set("Forwarded", "host=evil.example")
	v.signIn()
	for _, path := range []string{"/orgs/default/nodes", "/orgs/default/prefixes", "/orgs/default/keys", "/device", "/orgs/default/people"} {
		v.get(path).want(200).wantNot("evil.example")
	}
	v.get("/orgs/default/people").post("/orgs/default/invitations", "role", "member", "life", "day").want(200, "https://mesh.example.org/invite/").wantNot("evil.example")
	v.get("/").want(303)
	if strings.Contains(v.location(), "evil") {
		t.Errorf("sent to %s", v.location())
	}
}

// What nodes and people call themselves is text, wherever it is shown.
func TestNamesAreEscaped(t *testing.T) {
	const evil = `"><script>alert(1)</script><img src=x onerror=alert(1)>'`
	f := newFake()
	f.nodes[1].Name, f.nodes[1].Hostname, f.nodes[1].OS, f.nodes[1].Version = evil, evil, evil, evil
	f.held[0].HolderName = evil
	f.keyList[0].Description = evil
	f.pending.Hostname, f.pending.OS, f.pending.Version = evil, evil, evil
	f.members[1].Name, f.members[1].Email = evil, evil
	f.invites[0].Email, f.invites[0].Inviter = evil, evil
	f.tokens[0].Description = evil
	f.changes[0].Target, f.changes[0].Before, f.changes[0].After, f.changes[0].Actor.Name = evil, evil, evil, evil
	f.orgs[1].Name = evil
	w := newWeb(t, f)
	v := visit1(t, w)
	v.get("/login").post("/login", "email", evil+"@x", "password", "correct horse").want(303)
	for _, path := range []string{
		"/orgs/default/nodes", "/orgs/default/nodes/n1/remove", "/orgs/default/prefixes", "/orgs/default/prefixes/release?prefix=172.24.0.0/24", "/orgs/default/keys",
		"/orgs/default/keys/k1/revoke", "/device?user_code=WDJB-MJHT", "/orgs/default/people", "/orgs/default/people/u2/remove", "/orgs/default/invitations/i1/revoke",
		"/account", "/orgs/default/audit", "/orgs", "/invite/good", "/device?user_code=" + url.QueryEscape(evil), "/orgs/" + url.PathEscape(evil) + "/nodes",
	} {
		v.get(path).wantNot("<script>alert", "<img src=x", `onerror=alert(1)>'"`)
	}
	v.get("/device?user_code=WDJB-MJHT").post("/device/deny", "user_code", "WDJB-MJHT").follow().want(200, "&lt;script&gt;").wantNot("<script>alert") // in the message, too
	v = visit1(t, w)
	v.get("/login?next="+url.QueryEscape("/"+evil)).wantNot("<script>alert", "<img src=x")
	v.post("/login", "email", evil, "password", "no").wantNot("<script>alert", "<img src=x")
}

// A message is taken from a cookie; one with a made-up kind adds no class.
func TestPlantedMessage(t *testing.T) {
	w := newWeb(t, newFake())
	v := visit1(t, w)
	rw := httptest.NewRecorder()
	w.setFlash(rw, `x" onload="`, "<b>hello</b>")
	v.cookies["__Host-nexd-flash"] = rw.Result().Cookies()[0].Value
	v.get("/login").want(200, `class="note bad"`, "&lt;b&gt;hello").wantNot("onload")
	v.cookies["__Host-nexd-flash"] = "%%%"
	v.get("/login").want(200).wantNot(`role="status"`)
}

func TestBigForms(t *testing.T) {
	v := visit1(t, newWeb(t, newFake())).signIn().get("/orgs")
	v.postRaw("/orgs", url.Values{"form": {v.token()}, "name": {strings.Repeat("a", 10<<20)}}, "same-origin").want(400, "cannot be read")
	v.get("/orgs").post("/orgs", "name", strings.Repeat("ä", 5000)).want(303) // the fake takes it; nothing breaks
	v.cookies["__Host-nexd"] = strings.Repeat("x", 5000)
	v.get("/orgs").want(303)
}

// An ended session loses its cookie and signs in again, then comes back.
func TestEndedSession(t *testing.T) {
	f := newFake()
	v := visit1(t, newWeb(t, f)).signIn()
	clear(f.sessions)
	v.get("/orgs/default/keys").wantTo("/login?next=%2Forgs%2Fdefault%2Fkeys")
	if _, ok := v.cookies["__Host-nexd"]; ok {
		t.Error("the cookie of an ended session stays")
	}
}

// Forms of a session that is over, or of a page that was open for long, lead on
// instead of telling people that something is not allowed.
func TestFormsOutOfTheirTime(t *testing.T) {
	f := newFake()
	w := newWeb(t, f)
	v := visit1(t, w).get("/login?next=/orgs")
	form := url.Values{"form": {v.token()}, "email": {"ada@example.org"}, "password": {"correct horse"}, "next": {"/orgs"}}
	v.postRaw("/login", form, "same-origin").wantTo("/orgs")
	logins := len(f.calls)
	v.postRaw("/login", form, "same-origin").wantTo("/orgs") // the second click
	if len(f.calls) != logins {
		t.Errorf("the second click did something: %q", f.calls[logins:])
	}
	out := v.get("/orgs").token()
	clear(f.sessions)
	v.postRaw("/logout", url.Values{"form": {out}}, "same-origin").wantTo("/login")

	logins = len(f.calls)
	v = visit1(t, w) // over night the browser has dropped the cookie of the form
	v.postRaw("/login", form, "same-origin").want(403, "too old to be used", `value="ada@example.org"`, `value="/orgs"`).wantNot("correct horse")
	if len(f.calls) != logins {
		t.Errorf("a form without its cookie did something: %q", f.calls[logins:])
	}
	v.post("/login", "email", "ada@example.org", "password", "correct horse").wantTo("/")
}

// Secrets that pass through the pages are in no log line.
func TestNoSecretsInTheLog(t *testing.T) {
	var out bytes.Buffer
	f := newFake()
	w := newWeb(t, f, func(c *Config) {
		c.Logger = slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	v := visit1(t, w).signIn()
	v.get("/orgs/default/keys").post("/orgs/default/keys", "uses", "1", "life", "day").want(200)
	v.get("/account").post("/account/tokens", "description", "x", "life", "day", "scope", "read").want(200)
	v.get("/orgs/default/people").post("/orgs/default/invitations", "role", "member", "life", "day").want(200)
	f.fail["Nodes"] = mesh.Errorf(mesh.Internal, "store: broken")
	v.get("/orgs/default/nodes").want(500)
	v.get("/invite/bad").want(404)
	if !strings.Contains(out.String(), "broken") {
		t.Error("an internal error is not in the log")
	}
	for _, secret := range []string{"correct horse", "cookie-1", "csrf-1", "secretsecret", "secret-invitation", "/invite/"} {
		if strings.Contains(out.String(), secret) {
			t.Errorf("%q is in the log:\n%s", secret, out.String())
		}
	}
}

func TestClientAddress(t *testing.T) {
	r := httptest.NewRequest("GET", "/", nil)
	r.RemoteAddr = "[::ffff:192.0.2.9]:1234"
	r.Header.Set("X-Forwarded-For", "198.51.100.1")
	if got := remoteAddr(r); got != netip.MustParseAddr("192.0.2.9") {
		t.Errorf("remoteAddr = %v", got)
	}
}

func TestSentence(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want string
	}{
		{mesh.Errorf(mesh.NotFound, "store: no node x"), "No node x."},
		{mesh.Errorf(mesh.Invalid, "prefix 10.0.0.0: wrong"), "Prefix 10.0.0.0: wrong."},
		{mesh.Errorf(mesh.Invalid, "ipam: did you mean 10.0.0.0/24?"), "Did you mean 10.0.0.0/24?"},
		{mesh.Errorf(mesh.Internal, "store: secret detail"), "The service could not finish this. Its log says why."},
		{mesh.Errorf(mesh.Exhausted, "store: disk full"), "The service cannot use its database right now. Try again in a moment."},
		{control.Errorf(mesh.Denied, control.ReasonRole, "people: no"), "No."},
	} {
		if got := sentence(tt.err); got != tt.want {
			t.Errorf("sentence(%v) = %q, want %q", tt.err, got, tt.want)
		}
	}
}

func TestAgo(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "just now", 30 * time.Second: "30 seconds ago", time.Minute: "1 minute ago", 59*time.Minute + 30*time.Second: "1 hour ago",
		3 * time.Hour: "3 hours ago", 49 * time.Hour: "2 days ago", -7 * 24 * time.Hour: "in 7 days", -9 * time.Minute: "in 9 minutes",
	} {
		if got := ago(t0, t0.Add(-d)); got != want {
			t.Errorf("ago(%v) = %q, want %q", d, got, want)
		}
	}
	if got := ago(t0, time.Time{}); got != "never" {
		t.Errorf("ago(zero) = %q", got)
	}
}
