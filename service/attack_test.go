package service_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"nexd/control"
	"nexd/mesh"
	"nexd/service"
	"nexd/service/people"
	"nexd/service/store"
)

// A body says what its type has, and nothing else: no role, no owner, no ID.
func TestMassAssignment(t *testing.T) {
	h := newHouse(t)
	owner, stranger := h.actors["owner"].bearer, h.actors["stranger"].bearer
	extra := fmt.Sprintf(`"id":"x","role":"owner","org":%[1]q,"organization_id":%[1]q,"user_id":%[2]q,"owner":%[2]q,"scopes":["read","write","admin"],"created":"1999-01-01T00:00:00Z","used":99,"state":"usable","pools":["0.0.0.0/0"]`,
		h.a.ID, h.person["owner"].ID)
	status, text := h.call(stranger, "POST", "/v1/orgs", `{"name":"mine",`+extra+`}`)
	var o control.Organization
	if err := json.Unmarshal([]byte(text), &o); err != nil || status != 200 || o.ID == "x" || o.ID == h.a.ID || o.Name != "mine" || o.Created.Year() == 1999 || o.Pools[0].Bits() == 0 {
		t.Errorf("POST /v1/orgs = %d %s", status, text)
	}
	if ms := must[[]store.Member](t)(h.st.Members(t.Context(), o.ID)); len(ms) != 1 || ms[0].Email != "stranger@c.example" {
		t.Errorf("the organization has %+v", ms)
	}
	status, text = h.call(owner, "POST", "/v1/orgs/default/keys", `{"description":"x","reusable":true,"uses":1,`+extra+`}`)
	var k control.Key
	if err := json.Unmarshal([]byte(text), &k); err != nil || status != 200 || k.ID == "x" || k.Reusable || k.Used != 0 || k.UsesLeft != 1 {
		t.Errorf("POST keys = %d %s", status, text)
	}
	reading := h.actors["owner with a reading token"].bearer
	if status, text = h.call(reading, "POST", "/v1/tokens", `{"scopes":["write"]}`); status != 403 {
		t.Errorf("a reading token makes a writing one: %d %s", status, text)
	}
	if status, text = h.call(owner, "POST", "/v1/tokens", `{"scopes":["admin"]}`); status != 400 {
		t.Errorf("a scope that is none: %d %s", status, text)
	}
	for _, who := range []string{"member", "auditor", "admin"} {
		path := "/v1/orgs/default/members/" + h.person[who].ID
		if status, text := h.call(h.actors[who].bearer, "PUT", path, `{"role":"owner"}`); status != 403 {
			t.Errorf("%s makes themselves owner: %d %s", who, status, text)
		}
	}
	if status, text := h.call(h.actors["admin"].bearer, "POST", "/v1/orgs/default/invitations", `{"role":"owner"}`); status != 403 {
		t.Errorf("an admin invites an owner: %d %s", status, text)
	}
}

// A link names the public URL, whatever the request says of its host.
func TestLinksDoNotFollowHeaders(t *testing.T) {
	h := newHouse(t)
	evil := []string{"Host", "evil.example", "X-Forwarded-Host", "evil.example", "X-Forwarded-Proto", "http", "Forwarded", "host=evil.example",
		"X-Original-Host", "evil.example", "X-Host", "evil.example", "Origin", "https://evil.example", "Referer", "https://evil.example/"}
	status, text := h.call(h.actors["owner"].bearer, "POST", "http://evil.example/v1/orgs/default/invitations", `{"role":"member"}`, evil...)
	var i control.Invitation
	if err := json.Unmarshal([]byte(text), &i); err != nil || status != 200 || !strings.HasPrefix(i.Link, "https://mesh.example/invite/nxi_") || strings.Contains(text, "evil") {
		t.Errorf("POST invitations = %d %s", status, text)
	}
	w := newWorld(t)
	r := w.start(func(c *service.Config, o *store.Options) {})
	login, err := r.node(t).client.StartDeviceLogin(t.Context(), control.DeviceLoginRequest{Hostname: "x"})
	if err != nil || login.VerificationURI != r.url.Base()+"/device" { // a path, put behind the URL that the node was told
		t.Errorf("StartDeviceLogin = %v, %v", login.VerificationURI, err)
	}
}

func TestHugeRequestsToAdministrators(t *testing.T) {
	w := newWorld(t)
	r := w.start()
	client := insecureHTTP(t)
	huge := bytes.Repeat([]byte("x"), 10<<20)
	for _, path := range []string{control.PathOrgs, control.PathTokens, control.PathDeviceLogin, control.PathDeviceToken, control.PathAcceptInvitation, "/v1/approvals/BCDF-GHJK/approve"} {
		req, _ := http.NewRequest(http.MethodPost, r.url.Base()+path, bytes.NewReader(huge))
		req.Header.Set("Content-Type", "application/json")
		resp, err := client.Do(req)
		if err != nil {
			continue // cut off in mid-sending
		}
		if body := bodyOf(t, resp); resp.StatusCode < 400 || resp.StatusCode >= 500 || len(body) > 4096 {
			t.Errorf("%s takes 10 MB: %d, %d bytes", path, resp.StatusCode, len(body))
		}
	}
	for what, header := range map[string]http.Header{
		"one of 100 KB": {"Authorization": {"Bearer nxt_" + strings.Repeat("x", 100<<10)}},
		"10,000":        {},
		"one of 9 KB":   {"Authorization": {"Bearer nxt_" + strings.Repeat("x", 9<<10)}},
	} {
		req, _ := http.NewRequest(http.MethodGet, r.url.Base()+control.PathOrgs, nil)
		req.Header = header
		for i := range 10_000 {
			if what == "10,000" {
				req.Header.Add(fmt.Sprintf("X-%d", i), "x")
			}
		}
		resp, err := client.Do(req)
		if err != nil {
			continue
		}
		if body := bodyOf(t, resp); resp.StatusCode != 431 && resp.StatusCode != 401 || len(body) > 4096 {
			t.Errorf("headers, %s: %d", what, resp.StatusCode)
		}
	}
	if resp, err := client.Get(r.url.Base() + control.PathHealth); err != nil || resp.StatusCode != 200 {
		t.Errorf("afterwards: %v, %v", resp, err)
	}
}

// The one use of a code, an invitation and a token's approval, over the wire.
func TestDeviceLoginOverTheWire(t *testing.T) {
	w := newWorld(t)
	log := new(syncBuffer)
	var ppl *people.People
	r := w.start(func(c *service.Config, o *store.Options) {
		c.Logger = slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	ppl, err := people.New(people.Config{Store: r.store})
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	ada := people.Caller{UserID: w.boot.User.ID, Email: w.boot.User.Email, Via: people.ViaWeb, From: netip.MustParseAddr("192.0.2.1")}
	n := r.node(t)
	if _, err := n.register("", "laptop"); control.ReasonOf(err) != control.ReasonRegKeyNeeded {
		t.Fatalf("without a key: %v", err)
	}
	login, err := n.client.StartDeviceLogin(ctx, control.DeviceLoginRequest{Hostname: "laptop", OS: "linux", Prefixes: prefixesOf([]string{"172.24.0.0/24"})})
	if err != nil {
		t.Fatal(err)
	}
	register := func(n *node, prefixes ...string) (control.Registered, error) {
		return n.client.Register(ctx, control.Registration{Approval: login.DeviceCode, Hostname: "laptop", Prefixes: prefixesOf(prefixes)})
	}
	refused := func(what string, err error) {
		t.Helper()
		if control.ReasonOf(err) != control.ReasonApproval || mesh.KindOf(err) != mesh.Denied {
			t.Errorf("%s: %v", what, err)
		}
	}
	_, err = register(n)
	refused("before the approval", err)
	if _, _, err := ppl.ApproveNode(ctx, ada, login.UserCode, ""); err != nil {
		t.Fatal(err)
	}
	tok, err := n.client.PollDeviceLogin(ctx, login)
	if err != nil || tok.Organization != "default" {
		t.Fatalf("PollDeviceLogin = %+v, %v", tok, err)
	}
	_, err = register(r.node(t))
	refused("another node with the code", err)
	_, err = register(n, "172.24.0.0/24", "10.0.0.0/8")
	refused("a prefix that nobody saw", err)

	var fresh atomic.Int32
	var wg sync.WaitGroup
	for i := range 50 { // the code, replayed by its node and by others
		who := n
		if i%2 == 1 {
			who = r.node(t)
		}
		wg.Go(func() {
			reg, err := register(who, "172.24.0.0/24")
			if err == nil && reg.Created {
				fresh.Add(1)
			}
			if err == nil && who != n {
				t.Errorf("another node came in with the code")
			}
		})
	}
	wg.Wait()
	ds, err := r.store.Nodes(ctx, w.boot.Organization.ID)
	if err != nil || fresh.Load() != 1 || len(ds) != 1 {
		t.Errorf("one approval made %d nodes; %d are there, %v", fresh.Load(), len(ds), err)
	}
	login.Interval = 1
	if _, err := n.client.PollDeviceLogin(ctx, login); control.ReasonOf(err) != control.ReasonExpiredToken {
		t.Errorf("polling with a used code: %v", err)
	}
	if text := log.String(); strings.Contains(text, login.DeviceCode) || strings.Contains(text, login.UserCode) {
		t.Errorf("the log shows a code:\n%s", text)
	}
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// What is shown once is in no later answer, no audit row and no log line, whoever asks.
func TestSecretsAreShownOnce(t *testing.T) {
	h := newHouse(t)
	owner := h.actors["owner"].bearer
	secrets := []string{owner}
	for path, field := range map[string]string{"/v1/orgs/default/keys": "key", "/v1/orgs/default/invitations": "link", "/v1/tokens": "token"} {
		status, text := h.call(owner, "POST", path, `{"role":"member","scopes":["read"],"description":"once"}`)
		var out map[string]any
		if err := json.Unmarshal([]byte(text), &out); err != nil || status != 200 || out[field] == nil {
			t.Fatalf("POST %s = %d %s", path, status, text)
		}
		secret := out[field].(string)
		secrets = append(secrets, secret[strings.LastIndex(secret, "/")+1:])
	}
	cookie, _, err := h.st.CreateWebSession(t.Context(), h.person["owner"].ID, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	secrets = append(secrets, cookie, h.actors["node session"].bearer)
	seen := 0
	for _, op := range h.operations() {
		method, path, _ := strings.Cut(op, " ")
		if method != http.MethodGet || strings.Contains(path, "{id}") {
			continue
		}
		_, text := h.call(owner, method, strings.ReplaceAll(path, "{org}", "default"), "")
		seen += len(text)
		for _, s := range secrets {
			if strings.Contains(text, s) {
				t.Errorf("%s shows a secret %s…", op, s[:8])
			}
		}
	}
	if seen < 2000 {
		t.Errorf("only %d bytes were looked at", seen)
	}
	meta := must[store.Meta](t)(h.st.Meta(t.Context()))
	if len(meta.Secret) == 0 {
		t.Error("no database secret")
	}
}
