package web

import (
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"nexd/control"
	"nexd/mesh"
	"nexd/service/people"
	"nexd/service/store"
)

func TestEveryPageShows(t *testing.T) {
	w := newTown(t).fill()
	v := visit1(t, w).signIn()
	for _, tt := range []struct {
		path  string
		texts []string
	}{
		{"/device", []string{"Connect a node", `name="user_code"`}},
		{"/device?user_code={code}", []string{"Let this node join?", "{code}", "edge-7", "linux", "192.0.2.77", "{fingerprint}", "10.9.0.0/24", `value="default" checked`, "Approve", "Deny"}},
		{"/orgs/default/nodes", []string{"1 of 2 online", "router-berlin", "100.64.0.2", "fd", "172.24.0.0/24", "3 hours ago", "/orgs/default/nodes/{router}/remove"}},
		{"/orgs/{default}/nodes", []string{"router-berlin"}},
		{"/orgs/default/nodes/{router}/remove", []string{"Remove router-berlin?", "172.24.0.0/24", `method="post"`, "Cancel"}},
		{"/orgs/default/prefixes", []string{"172.24.0.0/24", "advertised", "held", "router-berlin", "/orgs/default/prefixes/release?prefix=172.28.0.0%2f24"}},
		{"/orgs/default/prefixes/release?prefix=172.24.0.0%2F24", []string{"Release 172.24.0.0/24?", "can no longer be reached"}},
		{"/orgs/default/keys", []string{"{buildkey}…", "usable", "revoked", "build machines", "2, 3 left", "0, any number left"}},
		{"/orgs/default/keys/{build}/revoke", []string{"Revoke the key {buildkey}…?"}},
		{"/orgs/default/people", []string{"Ada (you)", "bob@example.org", "cyd@example.org", "open", "Create invitation link"}},
		{"/orgs/default/people/{bob}/remove", []string{"Remove bob@example.org from default?", "Invitations they created"}},
		{"/orgs/default/people/{ada}/remove", []string{"Leave default?"}},
		{"/orgs/default/invitations/{invitation}/revoke", []string{"Revoke this invitation?", "cyd@example.org"}},
		{"/orgs/default/audit", []string{"key.create", "ada@example.org", "192.0.2.1", "&#34;uses&#34;:5"}},
		{"/orgs", []string{"lab", "owner", "join here", "Make default"}},
		{"/account", []string{"{tokentext}…", "backup", "Sign out everywhere"}},
		{"/account/audit", []string{"Account audit", "token.create", "192.0.2.1"}},
		{"/account/tokens/{token}/revoke", []string{"Revoke the token {tokentext}…?"}},
		{"{harbour}", []string{"Join harbour", "eve@example.org invites you", "member", "You are signed in as ada@example.org"}},
	} {
		t.Run(tt.path, func(t *testing.T) {
			v.t = t
			for i, text := range tt.texts {
				tt.texts[i] = w.path(text)
			}
			v.get(w.path(tt.path)).want(200, tt.texts...).want(200, "<title>", `<html lang="en">`, `action="/logout"`)
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
	w := newTown(t)
	visit1(t, w).get("/").wantTo("/login")
	visit1(t, w).signIn().get("/").wantTo("/orgs/default/nodes")
	visit1(t, w).signIn().get("/orgs/lab").wantTo("/orgs/lab/nodes")
	visit1(t, w).signIn().get("/login").wantTo("/")
	v := visit1(t, w).signIn()
	ada := w.caller("ada@example.org")
	for _, org := range []string{"default", "lab"} { // with another owner there, Ada can leave
		w.owner(org)
		must(t)(w.people.RemoveMember(t.Context(), ada, org, ada.UserID))
	}
	v.get("/").wantTo("/orgs").follow().want(200, "You are not in any organization")
}

func TestEmptyPagesSayWhatToTypeNext(t *testing.T) {
	w := newTown(t)
	v := visit1(t, w).signIn()
	join := "https://mesh.example.org/#pin=abc"
	v.get("/orgs/default/nodes").want(200, "No node has joined yet", "nexd --userspace "+join, "nexd router --userspace --advertise-cidr=172.24.0.0/24 "+join)
	v.get("/orgs/default/prefixes").want(200, "No prefix is held", "--advertise-cidr=")
	v.get("/orgs/default/keys").want(200, "There are no keys yet", "Create key")
	v.get("/orgs/default/audit?before=0").want(200, "No older changes")
}

func TestSetup(t *testing.T) {
	w := emptyTown(t)
	link, err := w.people.NewSetupLink(t.Context())
	must(t)(link, err)
	good := link[strings.Index(link, "=")+1:]
	v := visit1(t, w)
	v.get("/").wantTo("/setup").follow().want(200, "This nexd is new").wantNot(`type="password"`)
	v.get("/login").wantTo("/setup")
	v.get("/setup?token=stale").want(403, "no longer valid").wantNot(`type="password"`)
	v.get("/setup?token="+good).want(200, "Set up nexd", `value="`+good+`"`)
	v.post("/setup", "token", good, "email", "ada", "password", "short", "again", "short").
		want(400, "Please correct 2 entries", `href="#email"`, `aria-invalid="true"`, "at least 8 characters", `value="ada"`).wantNot(`value="short"`)
	v.post("/setup", "token", good, "email", "ada@example.org", "password", password, "again", "other horse!").want(400, "The two passwords differ")
	if first, err := w.people.FirstRun(t.Context()); !first || err != nil {
		t.Fatal("an account was made of a form with mistakes")
	}
	v.post("/setup", "token", good, "email", "ada@example.org", "name", "Ada", "password", password, "again", password).wantTo("/").follow().wantTo("/orgs/default/nodes").follow().want(200, "nexd is set up")
	if u, err := w.store.UserByEmail(t.Context(), "ada@example.org"); err != nil || u.Name != "Ada" {
		t.Errorf("the first person is %+v, %v", u, err)
	}
	v.get("/setup?token=" + good).wantTo("/")
}

func TestLogin(t *testing.T) {
	w := newTown(t)
	v := visit1(t, w)
	v.get("/login").post("/login").want(400, "Enter your e-mail address.", "Enter your password.", `aria-describedby="email-wrong"`)
	v.post("/login", "email", "ada@example.org", "password", "wrong").want(403, "Wrong e-mail address or password.", `value="ada@example.org"`).wantNot(`value="wrong"`)
	v.post("/login", "email", "ada@example.org", "password", password).wantTo("/")
	v = visit1(t, w).get("/login")
	for range 10 {
		v.post("/login", "email", "bob@example.org", "password", "x").want(403)
	}
	v.post("/login", "email", "bob@example.org", "password", "x").want(429, "Too many tries to sign in")
	if v.last.Header().Get("Set-Cookie") != "" {
		t.Errorf("a refused sign-in sets the cookie %s", v.last.Header().Get("Set-Cookie"))
	}
	w.breaks("web_sessions")
	visit1(t, w).get("/login").post("/login", "email", "ada@example.org", "password", password).want(500, "Its log has the reason").wantNot("web_sessions")
}

func TestDevice(t *testing.T) {
	w := newTown(t)
	code, key := w.waits("edge-7")
	page, fingerprint := "/device?user_code="+code, control.Fingerprint(key)
	v := visit1(t, w)
	v.get(page).wantTo("/login?next=" + url.QueryEscape(page))
	v.follow().want(200, "A node is waiting for approval")
	v.post("/login", "email", "ada@example.org", "password", password, "next", page).wantTo(page).follow()
	if w.pending(code) != "pending" {
		t.Fatal("looking approved")
	}
	v.post("/device/approve", "user_code", code, "org", "lab").want(303)
	if !w.changed("node.approve edge-7") || v.location() != fmt.Sprintf("/orgs/lab/nodes?since=%d&waiting=%s", t0.Unix(), url.QueryEscape(key.String())) {
		t.Fatalf("changes %q, sent to %q", w.changes(), v.location())
	}
	v.follow().want(200, `data-wait="2"`, "will appear here", fingerprint)
	waiting := v.at()
	v.get(page).want(200, "already been answered").wantNot("/device/approve")

	_, secret, err := w.store.CreateKey(t.Context(), w.org("lab"), store.KeyParams{})
	must(t)(secret, err)
	must(t)(w.store.Register(t.Context(), store.Registration{Key: key, RegistrationKey: secret, Hostname: "edge-7"}))
	v.get(waiting).want(200, "<b>edge-7</b> has joined and is online").wantNot("data-wait")

	code, _ = w.waits("stranger")
	v.get("/device?user_code="+code).post("/device/deny", "user_code", code).wantTo("/device").follow().want(200, "stranger was denied")
	v.get("/device?user_code=BBBB-BBBB").want(404, "No node is waiting with this code", `value="BBBB-BBBB"`)
	for range 30 {
		v.get("/device?user_code=CCCC-CCCC")
	}
	v.want(429, "Too many tries to find a code")
}

// Somebody who approves is told before, not after, that the node will be refused,
// and is not left with a page that waits for it for ever.
func TestApprovalThatCannotHelp(t *testing.T) {
	w := newTown(t).fill()
	v := visit1(t, w).signIn()
	v.get(w.path("/device?user_code={code}")).want(200).wantNot("would be refused")
	code, key := w.waits("edge-8", "172.24.0.128/25")
	v.get("/device?user_code="+code).want(200, "would be refused", "<b>router-berlin</b>", "172.24.0.0/24", "--advertise-cidr=OTHER=172.24.0.128/25", "/device/approve")
	v.post("/device/approve", "user_code", code, "org", "gone").wantTo("/device?user_code="+code).follow().want(200, "not in the organization gone")
	if w.pending(code) != "pending" {
		t.Error("approved for an organization that is not the visitor's")
	}
	v.post("/device/approve", "user_code", code, "org", "default").follow().want(200, `data-wait="2"`, "will appear here")
	page := v.at()
	w.pass(lateAfter)
	v.get(page).want(200, `data-wait="10"`, "its terminal shows the reason").wantNot("will appear here")
	w.pass(lookUntil)
	v.get(page).want(200, "its terminal shows the reason").wantNot("data-wait")
	for _, since := range []string{"", "x", "-1", "99999999999999999999"} {
		v.get("/orgs/default/nodes?since=" + since + "&waiting=" + url.QueryEscape(key.String())).want(200)
	}
}

func TestAuditorMayApproveNothing(t *testing.T) {
	w := newTown(t)
	w.person("aud@example.org", "", mesh.RoleAuditor)
	code, _ := w.waits("edge-7")
	v := visit1(t, w).signInAs("aud@example.org")
	v.get("/device?user_code="+code).want(200, "no organization in which you may approve nodes").wantNot("/device/approve", "/device/deny") // neither would work
}

// Buttons are a courtesy: what a role may not do is not offered.
func TestPagesByRole(t *testing.T) {
	w := newTown(t).fill()
	for _, tt := range []struct {
		role          mesh.Role
		manages, sees bool
	}{{mesh.RoleOwner, true, true}, {mesh.RoleAdmin, true, true}, {mesh.RoleAuditor, false, true}, {mesh.RoleMember, false, false}} {
		t.Run(string(tt.role), func(t *testing.T) {
			email := "a-" + string(tt.role) + "@example.org"
			w.person(email, "", tt.role)
			v := visit1(t, w).signInAs(email)
			has := func(path, text string, want bool) {
				t.Helper()
				v.get(path).want(200)
				if got := strings.Contains(v.body(), text); got != want {
					t.Errorf("%s has %q: %v, want %v", path, text, got, want)
				}
			}
			has("/orgs/default/nodes", "/remove", tt.manages)
			has("/orgs/default/prefixes", "/release", tt.manages)
			if tt.sees {
				has("/orgs/default/keys", "Create key", tt.manages)
			} else {
				v.get("/orgs/default/keys").want(403)
			}
			has("/orgs/default/people", "Create invitation link", tt.manages)
			has("/orgs/default/people", "cyd@example.org", tt.sees)
			has("/orgs/default/nodes", "/orgs/default/audit", tt.sees)
			has("/orgs/default/people", `value="owner"`, tt.role == mesh.RoleOwner)
		})
	}
}

// No list calls a prefix advertised whose node has gone.
func TestPrefixesOfNodesThatHaveGone(t *testing.T) {
	w := newTown(t).fill()
	v := visit1(t, w).signIn()
	const shown = `<span class="state on">advertised</span>`
	v.get("/orgs/default/prefixes").want(200, shown)
	v.get("/orgs/default/prefixes/release?prefix=172.24.0.0/24").want(200, "can no longer be reached")
	w.pass(75 * time.Second)
	v.get("/orgs/default/prefixes").want(200, `<span class="state">offline</span>`, `<span class="state idle">held</span>`).wantNot(shown)
	v.get("/orgs/default/prefixes/release?prefix=172.24.0.0/24").want(200, "the holder is offline").wantNot("can no longer be reached")
	list, err := w.people.Prefixes(t.Context(), w.caller("ada@example.org"), "")
	if err != nil || len(list) != 2 || list[0].State() != "offline" || list[1].State() != "held" {
		t.Errorf("Prefixes = %+v, %v", list, err)
	}
}

func TestChanges(t *testing.T) {
	for _, tt := range []struct {
		page, post string
		form       []string
		change     string
		to, says   string // empty to: the page is shown at once
	}{
		{"/orgs/default/nodes/{router}/remove", "/orgs/default/nodes/{router}/remove", nil, "node.remove router-berlin", "/orgs/default/nodes", "router-berlin was removed."},
		{"/orgs/default/prefixes/release?prefix=172.24.0.0/24", "/orgs/default/prefixes/release", []string{"prefix", "172.24.0.0/24"}, "prefix.release 172.24.0.0/24", "/orgs/default/prefixes", "172.24.0.0/24 was released; router-berlin held it."},
		{"/orgs/default/keys", "/orgs/default/keys", []string{"description", "CI", "uses", "7", "life", "week"}, `"description":"CI","expires":"2026-12-01T12:00:00Z","uses":7}`, "", "nxk_"},
		{"/orgs/default/keys", "/orgs/default/keys", []string{"uses", "", "life", "ever", "description", "many"}, `"description":"many","expires":"0001-01-01T00:00:00Z","uses":0}`, "", "nxk_"},
		{"/orgs/default/keys", "/orgs/default/keys", []string{"uses", "", "life", "ever", "replace", "1"}, `"replaces":true,"uses":0}`, "", "replaces offline nodes"},
		{"/orgs/default/keys/{build}/revoke", "/orgs/default/keys/{build}/revoke", nil, "key.revoke key {build}", "/orgs/default/keys", "was revoked"},
		{"/orgs/default/people", "/orgs/default/people/{bob}/role", []string{"role", "admin"}, `member.role bob@example.org {"role":"admin"}`, "/orgs/default/people", "bob@example.org is now admin."},
		{"/orgs/default/people/{bob}/remove", "/orgs/default/people/{bob}/remove", nil, "member.remove bob@example.org", "/orgs/default/people", "bob@example.org was removed"},
		{"/orgs/default/people", "/orgs/default/invitations", []string{"email", "dee@example.org", "role", "member", "life", "day"}, `{"email":"dee@example.org","expires":"2026-11-25T12:00:00Z","role":"member"}`, "", "https://mesh.example.org/invite/nxi_"},
		{"/orgs/default/invitations/{invitation}/revoke", "/orgs/default/invitations/{invitation}/revoke", nil, "invitation.revoke invitation {invitation}", "/orgs/default/people", "The invitation was revoked."},
		{"/account", "/account/tokens", []string{"description", "cron", "life", "month", "scope", "write"}, `"description":"cron","expires":"2026-12-24T12:00:00Z",`, "", "nxt_"},
		{"/account/tokens/{token}/revoke", "/account/tokens/{token}/revoke", nil, "token.revoke", "/account", "was revoked"},
		{"/orgs", "/orgs", []string{"name", "quay"}, "", "/orgs/quay/nodes", "quay was created"},
		{"/orgs", "/orgs/default", []string{"org", "lab"}, `user.default ada@example.org {"organization":"lab"}`, "/orgs", "now join lab by default"},
		{"{harbour}", "{harbour}/accept", nil, "", "/orgs/harbour/nodes", "You are now a member of harbour"},
	} {
		t.Run(tt.post+" "+strings.Join(tt.form, " "), func(t *testing.T) {
			w := newTown(t).fill()
			v := visit1(t, w).signIn()
			change := w.path(tt.change)
			v.get(w.path(tt.page)).want(200)
			if change != "" && w.changed(change) {
				t.Fatalf("%q is there before: %q", change, w.changes())
			}
			v.post(w.path(tt.post), tt.form...)
			if !w.changed(change) {
				t.Fatalf("%q was not changed but %q\n%s", change, w.changes(), v.body())
			}
			if tt.to == "" {
				v.want(200, tt.says, "not shown again")
				secret := v.secret()
				v.get(w.path(tt.page)).wantNot(secret)
				return
			}
			v.wantTo(tt.to).follow().want(200, tt.says)
			v.get(tt.to).wantNot(`class="note good"`) // a message is shown once
		})
	}
}

func TestMistakesComeBackWithTheForm(t *testing.T) {
	w := newTown(t).fill()
	v := visit1(t, w).signIn()
	v.get("/orgs/default/keys").post("/orgs/default/keys", "uses", "many", "life", "day", "description", "CI").want(400, "from 1 up", `value="many"`, `value="CI"`, `href="#uses"`)
	v.get("/orgs").post("/orgs", "name", "Harbour!").want(400, "lower-case letters, digits", `value="Harbour!"`)
	v.get("/account").post("/account/tokens", "life", "month", "scope", "read").want(400, "what the token is for")
	v.get("/account").post("/account/tokens", "description", "x", "life", "ever", "scope", "all").want(400, "Please correct 2 entries")
	v.get("/account").post("/account/password", "old", "wrong", "password", "new password", "again", "new password").want(403, "The old password is wrong.")
	v.get("/account").post("/account/password", "old", password, "password", "new password", "again", "other").want(400, "differ")
	v.get("/orgs/default/prefixes").post("/orgs/default/prefixes/release", "prefix", "nonsense").want(400, "is not of the form")
	remove := w.path("/orgs/default/nodes/{router}/remove")
	bob := visit1(t, w).signInAs("bob@example.org")
	bob.get(remove).post(remove).want(403, "The role member in organization default does not allow this.")
	w.damages("endpoints")
	v.get("/orgs/default/nodes").want(503, "cannot use its database").wantNot(w.db)
}

func TestInvitation(t *testing.T) {
	w := newTown(t).fill()
	v := visit1(t, w)
	v.get("/invite/bad").want(404, "it was used, revoked, or has expired")
	ada := w.caller("ada@example.org")
	i, err := w.people.Invite(t.Context(), ada, "", control.NewInvitation{Role: mesh.RoleMember, Email: "dee@example.org"})
	must(t)(i, err)
	link := strings.TrimPrefix(i.Link, "https://mesh.example.org")
	v.get(link).want(200, "Join default", `value="dee@example.org"`, "readonly", "in 7 days")
	v.post(link, "email", "dee@example.org", "name", "Dee", "password", password, "again", password).wantTo("/")
	if u, err := w.store.UserByEmail(t.Context(), "dee@example.org"); err != nil || u.Name != "Dee" {
		t.Errorf("who signed up is %+v, %v", u, err)
	}
	v = visit1(t, w)
	harbour := w.path("{harbour}")
	v.get(harbour).post(harbour + "/accept").wantTo("/login?next=" + url.QueryEscape(harbour))
}

func TestNothingThereIsTheSameAsNotYours(t *testing.T) {
	v := visit1(t, newTown(t)).signIn()
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
	w := newTown(t)
	v := visit1(t, w).signIn()
	ada := w.caller("ada@example.org")
	for i := range people.AuditPage {
		w.pass(time.Second) // entries of the same moment have no order
		k, err := w.people.CreateKey(t.Context(), ada, "", control.NewKey{Description: fmt.Sprint("key number ", i)})
		must(t)(k, err)
	}
	v.get("/orgs/default/audit").want(200, "key number 49").wantNot(">Newest<", "member.add")
	older := regexp.MustCompile(`href="(\?before=[^"]+)">Older<`).FindStringSubmatch(v.body())
	if older == nil {
		t.Fatalf("no older page:\n%s", v.body())
	}
	v.get("/orgs/default/audit"+older[1]).want(200, ">Newest<").wantNot(">Older<", "key number")

	v.get("/account").want(200, `href="/account/audit"`)
	for i := range people.AuditPage {
		w.pass(time.Second)
		tok, err := w.people.CreateToken(t.Context(), ada, control.NewToken{Description: fmt.Sprint("token number ", i), Scopes: []string{control.ScopeRead}})
		must(t)(tok, err)
	}
	v.get("/account/audit").want(200, "Changes to the account <b>ada@example.org</b>", "token number 49").wantNot(">Newest<")
	older = regexp.MustCompile(`href="(\?before=[^"]+)">Older<`).FindStringSubmatch(v.body())
	if older == nil {
		t.Fatalf("no older page:\n%s", v.body())
	}
	v.get("/account/audit"+older[1]).want(200, `href="/account/audit">Newest<`, "user.create").wantNot("token number")
	v.get("/account/audit?before=0").want(200, "No older changes")
}

func TestStaticFilesAreKept(t *testing.T) {
	v := visit1(t, newTown(t))
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
	ok := Config{People: emptyTown(t).people, PublicURL: "https://mesh.example.org"}
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
