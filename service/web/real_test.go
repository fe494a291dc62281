package web

import (
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"nexd/control"
)

// setUp sets an empty service up by its link. The visitor is its owner, signed in.
func (w *town) setUp() (v *visitor, link string) {
	t := w.t
	t.Helper()
	full, err := w.people.NewSetupLink(t.Context())
	must(t)(full, err)
	link, _ = strings.CutPrefix(full, "https://mesh.example.org")
	v = visit1(t, w)
	v.get(link).want(200, "Set up nexd")
	u, _ := url.Parse(link)
	v.post("/setup", "token", u.Query().Get("token"), "email", "ada@example.org", "name", "Ada", "password", "correct horse", "again", "correct horse")
	v.wantTo("/").follow().wantTo("/orgs/default/nodes").follow().want(200, "nexd is set up", "No node has joined yet")
	return v, link
}

var shownOnce = regexp.MustCompile(`<pre id="secret"[^>]*>([^<]+)</pre>`)

func (v *visitor) secret() string {
	v.t.Helper()
	m := shownOnce.FindStringSubmatch(v.body())
	if m == nil {
		v.t.Fatalf("no secret is shown:\n%s", v.body())
	}
	return m[1]
}

// Set-up, approval, a key, an invitation, a token and the record of all that, over
// a real database.
func TestWithPeople(t *testing.T) {
	r := emptyTown(t)
	visit1(t, r).get("/").wantTo("/setup").follow().want(200, "This nexd is new")
	visit1(t, r).get("/setup?token=nxu_wrong").want(403)
	ada, link := r.setUp()
	visit1(t, r).get(link).wantTo("/") // the link is used up

	code, key := r.waits("edge-7", "172.24.0.0/24")
	ada.get("/device?user_code="+strings.ToLower(code)).want(200, code, "edge-7", "192.0.2.77", control.Fingerprint(key), "172.24.0.0/24", "your default organization")
	ada.post("/device/approve", "user_code", code, "org", "default").want(303).follow().want(200, "will appear here", control.Fingerprint(key))
	ada.get("/device?user_code="+code).post("/device/approve", "user_code", code, "org", "default")
	if ada.last.Code == http.StatusSeeOther {
		t.Error("a code approved twice")
	}
	code, _ = r.waits("stranger")
	ada.get("/device?user_code="+code).want(200).post("/device/deny", "user_code", code).wantTo("/device").follow().want(200, "stranger was denied")

	ada.get("/orgs/default/keys").post("/orgs/default/keys", "description", "CI <b>", "uses", "2", "life", "day").want(200, "CI &lt;b&gt;", "usable")
	secret := ada.secret()
	ada.get("/orgs/default/keys").want(200, "0, 2 left").wantNot(secret)
	revoke := regexp.MustCompile(`/orgs/default/keys/[^"/]+/revoke`).FindString(ada.body())
	ada.get(revoke).want(200, "Revoke the key").post(revoke).wantTo("/orgs/default/keys").follow().want(200, "revoked")

	ada.get("/account").post("/account/tokens", "description", "cron", "life", "day", "scope", "read").want(200, "usable")
	token := ada.secret()
	if c, err := r.people.Token(t.Context(), token, netip.MustParseAddr("192.0.2.1")); err != nil || c.Email != "ada@example.org" {
		t.Errorf("Token = %+v, %v", c, err)
	}
	ada.get("/account").want(200, "cron").wantNot(token)
	ada.get("/orgs/default/audit").want(200, "ada@example.org", "key").wantNot(secret, token)
	ada.get("/account/audit").want(200, "token.create", "user.create", "cron").wantNot(secret, token, "key.create")
}

func TestInvitationWithPeople(t *testing.T) {
	r := emptyTown(t)
	ada, _ := r.setUp()
	ada.get("/orgs/default/people").post("/orgs/default/invitations", "email", "bob@example.org", "role", "member", "life", "week").want(200, "bob@example.org")
	link := strings.TrimPrefix(ada.secret(), "https://mesh.example.org")
	bob := visit1(t, r)
	bob.get(link).want(200, "Join default", "ada@example.org", `value="bob@example.org"`)
	bob.post(link, "email", "bob@example.org", "name", `<i>Bob</i>`, "password", "battery staple", "again", "battery staple").wantTo("/")
	visit1(t, r).get(link).want(404, "it was used, revoked, or has expired")
	bob.get("/orgs/default/nodes").want(200).wantNot("/orgs/default/keys")
	bob.get("/orgs/default/keys").want(403)
	bob.get("/orgs/default/audit").want(403)
	bob.get("/orgs/default/people").want(200, "&lt;i&gt;Bob").wantNot("<i>Bob", "Create invitation link")
	bob.post("/orgs/default/keys", "uses", "1", "life", "day").want(403) // not by hand, either
	bob.get("/orgs").post("/orgs/default/invitations", "role", "owner", "life", "day").want(403)
	ada.get("/orgs").post("/orgs", "name", "secret-lab").wantTo("/orgs/secret-lab/nodes")
	foreign := bob.get("/orgs/secret-lab/nodes").want(404).body()
	missing := bob.get("/orgs/not-there/nodes").want(404).body()
	if strings.ReplaceAll(foreign, "secret-lab", "X") != strings.ReplaceAll(missing, "not-there", "X") {
		t.Errorf("a foreign organization answers\n%s\nand a missing one\n%s", foreign, missing)
	}
	// A role is what it is now, not what it was at the sign-in.
	people := ada.get("/orgs/default/people").body()
	path := regexp.MustCompile(`/orgs/default/people/[^"/]+/role`).FindAllString(people, -1)
	ada.post(path[len(path)-1], "role", "admin").wantTo("/orgs/default/people")
	bob.get("/orgs/default/keys").want(200, "Create key")
}

func TestSessionsWithPeople(t *testing.T) {
	r := emptyTown(t)
	ada, _ := r.setUp()
	first := ada.cookies["__Host-nexd"]
	again := visit1(t, r)
	again.get("/login").post("/login", "email", "ADA@example.org", "password", "correct horse").wantTo("/")
	if c := again.cookies["__Host-nexd"]; c == first || c == "" {
		t.Errorf("two sessions share the cookie %q", c)
	}
	wrong := visit1(t, r).get("/login").post("/login", "email", "ada@example.org", "password", "nonsense").want(403).body()
	unknown := visit1(t, r).get("/login").post("/login", "email", "eve@example.org", "password", "nonsense").want(403).body()
	strip := func(s string) string {
		return formToken.ReplaceAllString(strings.NewReplacer("ada@", "X@", "eve@", "X@").Replace(s), "")
	}
	if strip(wrong) != strip(unknown) {
		t.Error("a wrong password and an unknown account look different")
	}
	ada.get("/account").post("/account/password", "old", "correct horse", "password", "battery staple", "again", "battery staple").wantTo("/account")
	ada.get("/account").want(200)
	again.get("/account").want(303) // ended by the change of the password
	ada.get("/account").post("/logout").wantTo("/login")
	ada.cookies["__Host-nexd"] = first
	ada.get("/account").want(303)
}

// A person comes by invitation with an identity provider, and by identity from then on.
func TestOIDCWithPeople(t *testing.T) {
	corp := startIDP(t, callback+"corp/callback")
	r := emptyTown(t, func(c *Config) {
		c.Providers = []Provider{{ID: "corp", Name: "Corp", Issuer: corp.issuer, ClientID: "nexd", ClientSecret: "client secret"}}
	})
	ada, _ := r.setUp()
	stranger := visit1(t, r)
	stranger.get(corp.signIn(t, begin(t, stranger, "/login/oidc/corp").String()).RequestURI()).want(403, "invitation")
	ada.get("/orgs/default/people").post("/orgs/default/invitations", "role", "member", "life", "week")
	token := ada.secret()[strings.LastIndex(ada.secret(), "/")+1:]
	v := visit1(t, r)
	v.get("/invite/"+token).want(200, "/login/oidc/corp?invite="+token)
	v.get(corp.signIn(t, begin(t, v, "/login/oidc/corp?next=/orgs/default/nodes&invite="+token).String()).RequestURI()).wantTo("/orgs/default/nodes")
	v.get("/orgs/default/nodes").want(200, "test-user@zitadel.ch")
	again := visit1(t, r)
	again.get(corp.signIn(t, begin(t, again, "/login/oidc/corp").String()).RequestURI()).wantTo("/")
}
