package web

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"nexd/control"
	"nexd/mesh"
	"nexd/service/people"
)

// A session that somebody planted in the browser is not the one that is signed in.
func TestSessionFixation(t *testing.T) {
	w := newTown(t)
	w.person("mallory@example.org", "", mesh.RoleMember)
	attacker := visit1(t, w).signInAs("mallory@example.org").cookies["__Host-nexd"]
	v := visit1(t, w)
	v.get("/login")
	v.cookies["__Host-nexd-form"] = "planted-planted-planted-planted-planted-planted"
	v.get("/login")
	v.cookies["__Host-nexd"] = "planted"
	v.post("/login", "email", "ada@example.org", "password", password).wantTo("/")
	if got := v.cookies["__Host-nexd"]; got == "planted" || got == "" {
		t.Fatalf("session cookie after the sign-in is %q", got)
	}
	if _, ok := v.cookies["__Host-nexd-form"]; ok {
		t.Error("the form cookie from before the sign-in is still good")
	}

	v = visit1(t, w)
	v.cookies["__Host-nexd"] = attacker
	v.get("/orgs").post("/logout").wantTo("/login").follow()
	v.post("/login", "email", "ada@example.org", "password", password).wantTo("/")
	if _, err := w.people.Session(t.Context(), attacker, netip.Addr{}); mesh.KindOf(err) != mesh.Denied || v.cookies["__Host-nexd"] == attacker {
		t.Error("the session before the sign-in lives on")
	}
	before := v.cookies["__Host-nexd"]
	v.get("/account").post("/account/password", "old", password, "password", "new password", "again", "new password").wantTo("/account")
	if v.cookies["__Host-nexd"] == before {
		t.Error("the session is the same after a change of the password")
	}
}

func TestCookies(t *testing.T) {
	w := newTown(t)
	v := visit1(t, w).signIn()
	var seen bool
	for _, c := range v.last.Result().Cookies() {
		if !strings.HasPrefix(c.Name, "__Host-") || !c.Secure || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Domain != "" {
			t.Errorf("cookie %v", c)
		}
		seen = seen || c.Name == "__Host-nexd" && c.MaxAge == int((7*24*time.Hour).Seconds())
	}
	if !seen {
		t.Error("no session cookie")
	}
	plain := newTown(t, func(c *Config) { c.PublicURL = "http://127.0.0.1:8080" })
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
	w := newTown(t).fill()
	stale := visit1(t, w).signIn().get("/orgs").token()
	v := visit1(t, w).signIn().get("/orgs")
	good := v.token()
	before := w.changes()
	for _, path := range []string{
		"/device/approve", "/device/deny", "/account/tokens", "/account/tokens/{token}/revoke", "/account/password", "/account/sessions/end", "/orgs", "/orgs/default",
		"/orgs/default/nodes/{router}/remove", "/orgs/default/prefixes/release", "/orgs/default/keys", "/orgs/default/keys/{build}/revoke", "/orgs/default/people/{bob}/role",
		"/orgs/default/people/{bob}/remove", "/orgs/default/invitations", "/orgs/default/invitations/{invitation}/revoke", "{harbour}/accept", "{harbour}", "/logout", "/login", "/setup",
	} {
		path = w.path(path)
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
	if after := w.changes(); !slices.Equal(before, after) || w.pending(w.path("{code}")) != "pending" {
		t.Errorf("something was done: %q", after)
	}
	v.postRaw("/orgs/default", url.Values{"form": {good}, "org": {"lab"}}, "same-origin").wantTo("/orgs") // the token itself is good
	v = visit1(t, w)
	v.postRaw("/login", url.Values{"email": {"ada@example.org"}, "password": {password}}, "same-origin").want(403) // a sign-in, too
}

func TestOpenRedirect(t *testing.T) {
	w := newTown(t)
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
	v := visit1(t, newTown(t))
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
	w := newTown(t)
	seen := func(page string, data any) {
		t.Helper()
		v := &visit{caller: &people.Caller{Email: evil, Name: evil}, org: control.Organization{ID: "o", Name: evil, Role: mesh.RoleOwner}}
		v.orgs = []control.Organization{v.org}
		rw := httptest.NewRecorder()
		err := w.show(rw, httptest.NewRequest("GET", "/", nil), v, 200, page, shown{Title: evil, Wrong: []wrong{{"email", evil}, {"", evil}}, Data: data})
		if err != nil || rw.Code != 200 || !strings.Contains(rw.Body.String(), "&lt;script&gt;") {
			t.Errorf("%s: status %d, %v\n%s", page, rw.Code, err, rw.Body)
		}
		for _, text := range []string{"<script>alert", "<img src=x", `onerror=alert(1)>'"`} {
			if strings.Contains(rw.Body.String(), text) {
				t.Errorf("%s has %q:\n%s", page, text, rw.Body)
			}
		}
	}
	org := control.Organization{ID: "o", Name: evil, Role: mesh.RoleOwner}
	held := mesh.Holding{Prefix: netip.MustParsePrefix("10.0.0.0/8"), HolderName: evil, Advertised: true}
	node := control.NodeInfo{ID: "n", Name: evil, Hostname: evil, OS: evil, Version: evil, Prefixes: []mesh.Holding{held}}
	pending := control.PendingNode{UserCode: evil, Hostname: evil, OS: evil, Version: evil, State: evil, Prefixes: []netip.Prefix{held.Prefix}}
	device := deviceData{Code: evil, Node: pending, Orgs: []control.Organization{org, org}, Picks: evil, Taken: []taken{{org, held.Prefix, held}}}
	invited := control.Invitation{ID: evil, Role: evil, Email: evil, State: "open", Inviter: evil, UsedBy: evil}
	seen("nodes", nodesData{Nodes: []control.NodeInfo{node}, Command: evil, Router: evil, Waiting: evil})
	seen("nodes", nodesData{Arrived: evil, Command: evil, Router: evil})
	seen("prefixes", prefixesData{Prefixes: []mesh.Holding{held}, Command: evil})
	seen("keys", keysData{Keys: []control.Key{{ID: evil, Prefix: evil, Description: evil, State: "usable"}}, Secret: evil, Command: evil, Form: keyForm{Description: evil, Uses: evil, Life: evil}})
	seen("device", device)
	seen("devicecode", device)
	seen("devicedone", device)
	seen("people", membersData{
		Members:     []memberRow{{Member: control.Member{ID: evil, Email: evil, Name: evil, Role: evil}, Change: true, Roles: roleChoices}},
		Invitations: []control.Invitation{invited}, Link: evil, LinkFor: evil, Email: evil, Role: evil, Life: evil, Roles: roleChoices,
	})
	seen("invite", inviteData{accountForm: accountForm{evil, evil, evil, true}, Invitation: invited, Org: org, Member: &org})
	seen("invite", inviteData{accountForm: accountForm{evil, evil, evil, true}, Invitation: invited, Org: org})
	seen("account", accountData{Tokens: []control.Token{{ID: evil, Prefix: evil, Description: evil, Scopes: []string{evil}, State: "usable"}}, Secret: evil, Command: evil, Form: tokenForm{evil, evil, evil}})
	seen("audit", auditData{AuditList: control.AuditList{Next: evil, Entries: []control.AuditEntry{{Actor: evil, Via: evil, Action: evil, Target: evil, Before: evil, After: evil, From: evil}}}})
	seen("orgs", orgsData{Name: evil})
	seen("login", loginData{Email: evil, Next: evil, Providers: []*provider{{Provider: Provider{ID: evil, Name: evil}}}})
	seen("setup", accountForm{evil, evil, evil, false})
	seen("error", evil)
	seen("confirm", confirm{Question: evil, Facts: [][2]string{{evil, evil}}, Effects: []string{evil}, Do: evil, Action: evil, Fields: [][2]string{{evil, evil}}, Back: evil})

	code, _ := w.waits(evil)
	v := visit1(t, w).signIn()
	v.get("/device?user_code="+code).want(200, "&lt;script&gt;").wantNot("<script>alert")
	v.post("/device/deny", "user_code", code).follow().want(200, "&lt;script&gt;").wantNot("<script>alert") // in the message, too
	v.get("/device?user_code="+url.QueryEscape(evil)).wantNot("<script>alert", "<img src=x")
	v.get("/orgs/"+url.PathEscape(evil)+"/nodes").wantNot("<script>alert", "<img src=x")
	v = visit1(t, w)
	v.get("/login?next="+url.QueryEscape("/"+evil)).wantNot("<script>alert", "<img src=x")
	v.post("/login", "email", evil, "password", "no").wantNot("<script>alert", "<img src=x")
}

// A message is taken from a cookie; one with a made-up kind adds no class.
func TestPlantedMessage(t *testing.T) {
	w := newTown(t)
	v := visit1(t, w)
	rw := httptest.NewRecorder()
	w.setFlash(rw, `x" onload="`, "<b>hello</b>")
	v.cookies["__Host-nexd-flash"] = rw.Result().Cookies()[0].Value
	v.get("/login").want(200, `class="note bad"`, "&lt;b&gt;hello").wantNot("onload")
	v.cookies["__Host-nexd-flash"] = "%%%"
	v.get("/login").want(200).wantNot(`role="status"`)
}

func TestBigForms(t *testing.T) {
	v := visit1(t, newTown(t)).signIn().get("/orgs")
	v.postRaw("/orgs", url.Values{"form": {v.token()}, "name": {strings.Repeat("a", 10<<20)}}, "same-origin").want(400, "cannot be read")
	v.get("/orgs").post("/orgs", "name", strings.Repeat("ä", 5000)).want(400, "lower-case letters, digits")
	v.cookies["__Host-nexd"] = strings.Repeat("x", 5000)
	v.get("/orgs").want(303)
}

// An ended session loses its cookie and signs in again, then comes back.
func TestEndedSession(t *testing.T) {
	w := newTown(t)
	v := visit1(t, w).signIn()
	must(t)(nil, w.store.DeleteWebSessions(t.Context(), w.caller("ada@example.org").UserID))
	v.get("/orgs/default/keys").wantTo("/login?next=%2Forgs%2Fdefault%2Fkeys")
	if _, ok := v.cookies["__Host-nexd"]; ok {
		t.Error("the cookie of an ended session stays")
	}
}

// Forms of a session that is over, or of a page that was open for long, lead on
// instead of telling people that something is not allowed.
func TestFormsOutOfTheirTime(t *testing.T) {
	w := newTown(t)
	v := visit1(t, w).get("/login?next=/orgs")
	form := url.Values{"form": {v.token()}, "email": {"ada@example.org"}, "password": {password}, "next": {"/orgs"}}
	v.postRaw("/login", form, "same-origin").wantTo("/orgs")
	session := v.cookies["__Host-nexd"]
	v.postRaw("/login", form, "same-origin").wantTo("/orgs") // the second click
	if v.cookies["__Host-nexd"] != session {
		t.Error("the second click opened another session")
	}
	out := v.get("/orgs").token()
	must(t)(nil, w.store.DeleteWebSessions(t.Context(), w.caller("ada@example.org").UserID))
	v.postRaw("/logout", url.Values{"form": {out}}, "same-origin").wantTo("/login")

	v = visit1(t, w) // over night the browser has dropped the cookie of the form
	v.postRaw("/login", form, "same-origin").want(403, "This page had expired", `value="ada@example.org"`, `value="/orgs"`).wantNot(password)
	if v.cookies["__Host-nexd"] != "" {
		t.Error("a form without its cookie signed in")
	}
	v.post("/login", "email", "ada@example.org", "password", password).wantTo("/")
}

// Secrets that pass through the pages are in no log line.
func TestNoSecretsInTheLog(t *testing.T) {
	var out bytes.Buffer
	w := newTown(t, func(c *Config) {
		c.Logger = slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	v := visit1(t, w).signIn()
	secrets := []string{password, v.cookies["__Host-nexd"], v.get("/orgs").token(), "/invite/"}
	v.get("/orgs/default/keys").post("/orgs/default/keys", "uses", "1", "life", "day").want(200)
	secrets = append(secrets, v.secret())
	v.get("/account").post("/account/tokens", "description", "x", "life", "day", "scope", "read").want(200)
	secrets = append(secrets, v.secret())
	v.get("/orgs/default/people").post("/orgs/default/invitations", "role", "member", "life", "day").want(200)
	secrets = append(secrets, v.secret())
	v.get("/invite/bad").want(404)
	w.breaks("endpoints")
	v.get("/orgs/default/nodes").want(500)
	if !strings.Contains(out.String(), "endpoints") {
		t.Error("an internal error is not in the log")
	}
	for _, secret := range secrets {
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
		{mesh.Errorf(mesh.Internal, "store: secret detail"), "The service could not complete this. Its log has the reason."},
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
