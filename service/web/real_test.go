package web

import (
	"net/http"
	"net/netip"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"nexd/control"
	"nexd/mesh"
	"nexd/service/people"
	"nexd/service/store"
)

// real is the pages over people and a database, before anybody has set it up.
type real struct {
	*Web
	people *people.People
	store  *store.Store
	setup  string // path of the set-up link
}

func newReal(t *testing.T, change ...func(*Config)) *real {
	t.Helper()
	st, err := store.Open(t.Context(), filepath.Join(t.TempDir(), "nexd.db"), store.Options{Create: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	if _, err := st.Prepare(t.Context(), store.PrepareParams{PublicURL: "https://mesh.example.org"}); err != nil {
		t.Fatal(err)
	}
	ppl, err := people.New(people.Config{Store: st, PublicURL: "https://mesh.example.org"})
	if err != nil {
		t.Fatal(err)
	}
	link, err := ppl.NewSetupLink(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	path, ok := strings.CutPrefix(link, "https://mesh.example.org")
	if !ok {
		t.Fatalf("set-up link %q", link)
	}
	w := newWeb(t, ppl, append(change, func(c *Config) { c.Now = time.Now })...)
	return &real{Web: w, people: ppl, store: st, setup: path}
}

// owner sets the service up and is signed in.
func (r *real) owner(t *testing.T) *visitor {
	t.Helper()
	v := visit1(t, r)
	v.get(r.setup).want(200, "Set up nexd")
	u, _ := url.Parse(r.setup)
	v.post("/setup", "token", u.Query().Get("token"), "email", "ada@example.org", "name", "Ada", "password", "correct horse", "again", "correct horse")
	v.wantTo("/").follow().wantTo("/orgs/default/nodes").follow().want(200, "nexd is set up", "No node has joined yet")
	return v
}

// waits starts the device login of a node.
func (r *real) waits(t *testing.T, hostname string, prefixes ...string) (code string, key mesh.Key) {
	t.Helper()
	private, err := mesh.NewPrivateKey()
	if err != nil {
		t.Fatal(err)
	}
	req := people.DeviceLoginRequest{Key: private.Public(), Hostname: hostname, OS: "linux", Version: "v1", From: netip.MustParseAddr("192.0.2.77")}
	for _, p := range prefixes {
		req.Prefixes = append(req.Prefixes, netip.MustParsePrefix(p))
	}
	d, err := r.people.StartDeviceLogin(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	return d.UserCode, req.Key
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
	r := newReal(t)
	visit1(t, r).get("/").wantTo("/setup").follow().want(200, "This nexd is new")
	visit1(t, r).get("/setup?token=nxu_wrong").want(403)
	ada := r.owner(t)
	visit1(t, r).get(r.setup).wantTo("/") // the link is used up

	code, key := r.waits(t, "edge-7", "172.24.0.0/24")
	ada.get("/device?user_code="+strings.ToLower(code)).want(200, code, "edge-7", "192.0.2.77", control.Fingerprint(key), "172.24.0.0/24", "your default organization")
	ada.post("/device/approve", "user_code", code, "org", "default").want(303).follow().want(200, "goes on by itself now", control.Fingerprint(key))
	ada.get("/device?user_code="+code).post("/device/approve", "user_code", code, "org", "default")
	if ada.last.Code == http.StatusSeeOther {
		t.Error("a code approved twice")
	}
	code, _ = r.waits(t, "stranger")
	ada.get("/device?user_code="+code).want(200).post("/device/deny", "user_code", code).wantTo("/device").follow().want(200, "stranger was turned away")

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
	r := newReal(t)
	ada := r.owner(t)
	ada.get("/orgs/default/people").post("/orgs/default/invitations", "email", "bob@example.org", "role", "member", "life", "week").want(200, "bob@example.org")
	link := strings.TrimPrefix(ada.secret(), "https://mesh.example.org")
	bob := visit1(t, r)
	bob.get(link).want(200, "Join default", "ada@example.org", `value="bob@example.org"`)
	bob.post(link, "email", "bob@example.org", "name", `<i>Bob</i>`, "password", "battery staple", "again", "battery staple").wantTo("/")
	visit1(t, r).get(link).want(404, "it was used, revoked, or has expired")
	bob.get("/orgs/default/nodes").want(200).wantNot("/orgs/default/keys")
	bob.get("/orgs/default/keys").want(403)
	bob.get("/orgs/default/audit").want(403)
	bob.get("/orgs/default/people").want(200, "&lt;i&gt;Bob").wantNot("<i>Bob", "Make invitation link")
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
	bob.get("/orgs/default/keys").want(200, "Make key")
}

func TestSessionsWithPeople(t *testing.T) {
	r := newReal(t)
	ada := r.owner(t)
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
	r := newReal(t, func(c *Config) {
		c.Providers = []Provider{{ID: "corp", Name: "Corp", Issuer: corp.issuer, ClientID: "nexd", ClientSecret: "client secret"}}
	})
	ada := r.owner(t)
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
