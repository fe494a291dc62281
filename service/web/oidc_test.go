package web

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/zitadel/oidc/v3/example/server/exampleop"
	"github.com/zitadel/oidc/v3/example/server/storage"

	"nexd/control"
	"nexd/mesh"
)

// TestMain makes the test binary also the identity provider, a process of its own.
func TestMain(m *testing.M) {
	if back := os.Getenv("NEXD_TEST_PROVIDER"); back != "" {
		if err := provide(back); err != nil {
			fmt.Fprintln(os.Stderr, "provider:", err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// provide is zitadel's example provider, with one client that goes back to the
// given addresses. It ends when its standard input does.
func provide(back string) error {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	issuer := "http://" + ln.Addr().String()
	storage.RegisterClients(storage.WebClient("nexd", "client secret", strings.Split(back, " ")...))
	router := exampleop.SetupServer(issuer, storage.NewStorage(storage.NewUserStore(issuer)), slog.New(slog.NewTextHandler(os.Stderr, nil)), false)
	go func() {
		io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	fmt.Println(issuer)
	return http.Serve(ln, router)
}

// idp is a running identity provider.
type idp struct{ issuer string }

func startIDP(t *testing.T, back ...string) *idp {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "NEXD_TEST_PROVIDER="+strings.Join(back, " "))
	in, err1 := cmd.StdinPipe()
	out, err2 := cmd.StdoutPipe()
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Close(); cmd.Wait() })
	issuer, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("the provider did not start: %v", err)
	}
	return &idp{strings.TrimSpace(issuer)}
}

var authRequest = regexp.MustCompile(`name="id" value="([^"]+)"`)

// signIn goes through the provider's own pages and gives the address to which it
// sends the browser back.
func (p *idp) signIn(t *testing.T, start string) *url.URL {
	t.Helper()
	jar, _ := cookiejar.New(nil)
	client := &http.Client{Jar: jar, Timeout: 20 * time.Second, CheckRedirect: func(r *http.Request, _ []*http.Request) error {
		if r.URL.Host == "mesh.example.org" {
			return http.ErrUseLastResponse
		}
		return nil
	}}
	resp, err := client.Get(start)
	if err != nil {
		t.Fatal(err)
	}
	page, _ := io.ReadAll(resp.Body)
	resp.Body.Close()
	m := authRequest.FindSubmatch(page)
	if m == nil {
		t.Fatalf("the provider shows no sign-in at %v:\n%s", resp.Request.URL, page)
	}
	resp, err = client.PostForm(p.issuer+"/login/username", url.Values{"username": {"test-user@127.0.0.1"}, "password": {"verysecure"}, "id": {string(m[1])}})
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	back, err := resp.Location()
	if err != nil {
		t.Fatalf("the provider answers %s", resp.Status)
	}
	return back
}

const callback = "https://mesh.example.org/login/oidc/"

// withIDP makes pages that know two providers, each a process.
func withIDP(t *testing.T) (*town, *idp) {
	t.Helper()
	corp, other := startIDP(t, callback+"corp/callback"), startIDP(t, callback+"other/callback")
	w := newTown(t, func(c *Config) {
		c.Providers = []Provider{
			{ID: "corp", Name: "Corp", Issuer: corp.issuer, ClientID: "nexd", ClientSecret: "client secret"},
			{ID: "other", Name: "Other", Issuer: other.issuer, ClientID: "nexd", ClientSecret: "client secret"},
		}
	})
	return w, corp
}

// begin starts a sign-in and gives the address at the provider.
func begin(t *testing.T, v *visitor, path string) *url.URL {
	t.Helper()
	v.get(path).want(303)
	u, err := url.Parse(v.location())
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func TestOIDC(t *testing.T) {
	w, corp := withIDP(t)
	i, err := w.people.Invite(t.Context(), w.caller("ada@example.org"), "lab", control.NewInvitation{Role: mesh.RoleAuditor})
	must(t)(i, err)
	v := visit1(t, w)
	v.get("/login?next=/orgs/lab/nodes").want(200, `href="/login/oidc/corp?next=%2forgs%2flab%2fnodes"`, "Continue with Other")
	start := begin(t, v, "/login/oidc/corp?next=/orgs/lab/nodes&invite="+i.Link[strings.LastIndex(i.Link, "/")+1:])
	q := start.Query()
	for key, want := range map[string]string{"redirect_uri": callback + "corp/callback", "response_type": "code", "client_id": "nexd", "code_challenge_method": "S256"} {
		if q.Get(key) != want {
			t.Errorf("%s = %q, want %q", key, q.Get(key), want)
		}
	}
	for _, key := range []string{"state", "nonce", "code_challenge"} {
		if len(q.Get(key)) < 40 {
			t.Errorf("%s = %q", key, q.Get(key))
		}
	}
	v.cookies["__Host-nexd"] = "planted"
	back := corp.signIn(t, start.String())
	if back.Host != "mesh.example.org" {
		t.Fatalf("sent back to %v", back)
	}
	v.get(back.RequestURI()).wantTo("/orgs/lab/nodes")
	if u, err := w.store.UserByIdentity(t.Context(), corp.issuer, "id1"); err != nil || u.Email != "test-user@zitadel.ch" {
		t.Errorf("vouched for %+v, %v", u, err)
	}
	if !w.changed(`member.add test-user@zitadel.ch {"invitation":"`) {
		t.Errorf("changes %q", w.changes())
	}
	if c := v.cookies["__Host-nexd"]; c == "planted" || c == "" {
		t.Errorf("session cookie %q", c)
	}
	if _, ok := v.cookies["__Host-nexd-oidc"]; ok {
		t.Error("the state stays in the browser")
	}
	v.get("/orgs/lab/nodes").want(200)
}

// change alters what a sign-in under way remembers.
func change(t *testing.T, w *town, v *visitor, alter func(*started)) {
	t.Helper()
	b, err := w.people.Unseal(t.Context(), sealPurpose, v.cookies["__Host-nexd-oidc"])
	var s started
	if err != nil || json.Unmarshal(b, &s) != nil {
		t.Fatal(err)
	}
	alter(&s)
	b, _ = json.Marshal(s)
	v.cookies["__Host-nexd-oidc"], _ = w.people.Seal(t.Context(), sealPurpose, b)
}

func TestOIDCAttacks(t *testing.T) {
	w, corp := withIDP(t)
	other := w.providers[1].Issuer
	for name, tt := range map[string]struct {
		do   func(v *visitor, back *url.URL) string // gives the path that is asked for
		says string
	}{
		"no state": {func(_ *visitor, back *url.URL) string {
			return back.Path + "?code=" + url.QueryEscape(back.Query().Get("code"))
		}, "does not belong"},
		"state of another": {func(_ *visitor, back *url.URL) string {
			q := back.Query()
			q.Set("state", random())
			return back.Path + "?" + q.Encode()
		}, "does not belong"},
		"another browser": {func(v *visitor, back *url.URL) string {
			delete(v.cookies, "__Host-nexd-oidc")
			return back.RequestURI()
		}, "does not belong"},
		"state cookie not sealed here": {func(v *visitor, back *url.URL) string {
			v.cookies["__Host-nexd-oidc"] = "e30"
			return back.RequestURI()
		}, "does not belong"},
		"empty state": {func(v *visitor, back *url.URL) string {
			change(t, w, v, func(s *started) { s.State = "" })
			return back.Path + "?state=&code=" + url.QueryEscape(back.Query().Get("code"))
		}, "does not belong"},
		"mix-up: answer of corp at other": {func(_ *visitor, back *url.URL) string {
			return strings.Replace(back.RequestURI(), "/corp/", "/other/", 1)
		}, "does not belong"},
		"mix-up: begun at other, answered by corp": {func(v *visitor, back *url.URL) string {
			change(t, w, v, func(s *started) { s.Provider = "other" })
			return strings.Replace(back.RequestURI(), "/corp/", "/other/", 1)
		}, "its code is not good"},
		"mix-up: iss of another": {func(_ *visitor, back *url.URL) string {
			return back.RequestURI() + "&iss=" + url.QueryEscape(other)
		}, "another issuer"},
		"nonce of another": {func(v *visitor, back *url.URL) string {
			change(t, w, v, func(s *started) { s.Nonce = random() })
			return back.RequestURI()
		}, "its nonce is another"},
		"no nonce": {func(v *visitor, back *url.URL) string {
			change(t, w, v, func(s *started) { s.Nonce = "" })
			return back.RequestURI()
		}, "its nonce is another"},
		"stolen code, other PKCE verifier": {func(v *visitor, back *url.URL) string {
			change(t, w, v, func(s *started) { s.Verifier = random() })
			return back.RequestURI()
		}, "its code is not good"},
		"made-up code": {func(_ *visitor, back *url.URL) string {
			q := back.Query()
			q.Set("code", "AAAA")
			return back.Path + "?" + q.Encode()
		}, "its code is not good"},
		"the person said no": {func(_ *visitor, back *url.URL) string {
			return back.Path + "?error=access_denied&state=" + back.Query().Get("state")
		}, "Corp did not sign you in"},
		"no such provider": {func(_ *visitor, back *url.URL) string {
			return strings.Replace(back.RequestURI(), "/corp/", "/nobody/", 1)
		}, "no such page"},
	} {
		t.Run(name, func(t *testing.T) {
			v := visit1(t, w)
			back := corp.signIn(t, begin(t, v, "/login/oidc/corp").String())
			v.get(tt.do(v, back))
			if v.last.Code != 403 && v.last.Code != 404 || !strings.Contains(v.body(), tt.says) {
				t.Errorf("status %d, want a page that says %q:\n%s", v.last.Code, tt.says, v.body())
			}
			_, err := w.store.UserByIdentity(t.Context(), corp.issuer, "id1")
			if v.cookies["__Host-nexd"] != "" || mesh.KindOf(err) != mesh.NotFound {
				t.Errorf("signed in: %v", err)
			}
		})
	}
}

func TestOIDCCodeReplay(t *testing.T) {
	w, corp := withIDP(t)
	w.member(corp.issuer)
	v := visit1(t, w)
	start := begin(t, v, "/login/oidc/corp").String()
	state := v.cookies["__Host-nexd-oidc"]
	back := corp.signIn(t, start).RequestURI()
	v.get(back).wantTo("/")
	v.get(back).want(403, "does not belong")
	thief := visit1(t, w)
	thief.cookies["__Host-nexd-oidc"] = state
	thief.get(back).want(403, "its code is not good")
}

func TestOIDCRefusedByPeople(t *testing.T) {
	w, corp := withIDP(t)
	v := visit1(t, w)
	v.get(corp.signIn(t, begin(t, v, "/login/oidc/corp?next=/orgs").String()).RequestURI()).want(403, "ask for an invitation.", `value="/orgs"`)
}

// The provider need not be there when the service starts; when it is away, the
// page says so.
func TestOIDCProviderAway(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
	w := newTown(t, func(c *Config) {
		c.Providers = []Provider{{ID: "corp", Name: "Corp", Issuer: "http://" + ln.Addr().String(), ClientID: "nexd"}}
	})
	visit1(t, w).get("/login/oidc/corp").want(503, "Corp cannot be reached right now")
	visit1(t, w).get("/login/oidc/nobody").want(404)
}

// Providers write email_verified as they like.
func TestEmailVerifiedIsReadAsItComes(t *testing.T) {
	for text, want := range map[string]truth{"true": true, `"true"`: true, "false": false, `"false"`: false, "1": false, "null": false, "[]": false, `{"a":1}`: false} {
		var c struct {
			Email    string `json:"email"`
			Verified truth  `json:"email_verified"`
		}
		if err := json.Unmarshal([]byte(`{"email_verified":`+text+`,"email":"a@b"}`), &c); err != nil || c.Verified != want || c.Email != "a@b" {
			t.Errorf("%s is read as %+v, %v", text, c, err)
		}
	}
}
