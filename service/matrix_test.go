package service_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"nexd/control"
	"nexd/mesh"
	"nexd/service"
	"nexd/service/people"
	"nexd/service/store"
)

// house is a service with people of every role, called without a network. Its
// clock goes on by 20 s with every call, so that no limit is in the way.
type house struct {
	t      *testing.T
	st     *store.Store
	ppl    *people.People
	h      http.Handler
	a, b   store.Organization
	actors map[string]actor
	person map[string]store.User
	count  int
	clock  atomic.Int64
	pages  http.Handler
}

// actor is somebody who calls.
type actor struct {
	bearer string
	role   mesh.Role // in a; empty: none
	person bool
	write  bool
}

func (h *house) now() time.Time {
	return time.Unix(1_800_000_000, 0).Add(time.Duration(h.clock.Load()))
}
func (h *house) tick(d time.Duration) { h.clock.Add(int64(d)) }

func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func newHouse(t *testing.T, opts ...func(*people.Config)) *house {
	h := &house{t: t, person: map[string]store.User{}, actors: map[string]actor{}}
	ctx := t.Context()
	var err error
	h.st, err = store.Open(ctx, filepath.Join(t.TempDir(), "nexd.db"), store.Options{Create: true, Now: h.now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.st.Close() })
	boot := must[store.Bootstrapped](t)(h.st.Bootstrap(ctx, store.BootstrapParams{Email: "owner@a.example", PasswordHash: "x"}))
	h.a = boot.Organization
	h.person["owner"] = boot.User
	for _, role := range []mesh.Role{mesh.RoleAdmin, mesh.RoleMember, mesh.RoleAuditor} {
		h.person[string(role)] = h.join(h.a, string(role)+"@a.example", role)
	}
	h.person["stranger"] = must[store.User](t)(h.st.AddPerson(ctx, store.NewPerson{Email: "stranger@c.example", Own: "stranger"}))
	h.person["bob"] = must[store.User](t)(h.st.AddPerson(ctx, store.NewPerson{Email: "bob@b.example", Own: "bee"}))
	h.b = must[store.Organization](t)(h.st.OrganizationByName(ctx, "bee"))

	cfg := people.Config{Store: h.st, Now: h.now, PublicURL: "https://mesh.example"}
	for _, o := range opts {
		o(&cfg)
	}
	h.ppl = must[*people.People](t)(people.New(cfg))
	h.h = must[*service.Service](t)(service.New(ctx, service.Config{Store: h.st, People: h.ppl, Now: h.now, Pages: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if h.pages != nil {
			h.pages.ServeHTTP(w, r)
		}
	})})).Handler()
	h.cast()
	return h
}

// join adds a person to an organization.
func (h *house) join(o store.Organization, email string, role mesh.Role) store.User {
	h.t.Helper()
	u := must[store.User](h.t)(h.st.AddPerson(h.t.Context(), store.NewPerson{Email: email}))
	if err := h.st.SetMembership(h.t.Context(), o.ID, u.ID, role); err != nil {
		h.t.Fatal(err)
	}
	if err := h.st.SetDefaultOrganization(h.t.Context(), o.ID, u.ID); err != nil {
		h.t.Fatal(err)
	}
	return u
}

func (h *house) token(who, scopes string, life time.Duration) (store.APIToken, string) {
	h.t.Helper()
	tok, text, err := h.st.CreateAPIToken(h.t.Context(), h.person[who].ID, "", scopes, life)
	if err != nil {
		h.t.Fatal(err)
	}
	return tok, text
}

// cast makes everybody who calls in the matrix.
func (h *house) cast() {
	const long = 300 * 24 * time.Hour
	for _, who := range []string{"owner", "admin", "member", "auditor", "stranger"} {
		_, text := h.token(who, "write", long)
		role := mesh.Role(who)
		if who == "stranger" {
			role = ""
		}
		h.actors[who] = actor{bearer: text, role: role, person: true, write: true}
	}
	_, text := h.token("owner", "read", long)
	h.actors["owner with a reading token"] = actor{bearer: text, role: mesh.RoleOwner, person: true}
	_, text = h.token("owner", "write", time.Second)
	h.actors["expired token"] = actor{bearer: text}
	revoked, text := h.token("owner", "write", long)
	must[store.APIToken](h.t)(h.st.RevokeAPIToken(h.t.Context(), h.person["owner"].ID, revoked.ID))
	h.actors["revoked token"] = actor{bearer: text}
	h.actors["no token"] = actor{}
	cookie, _, err := h.st.CreateWebSession(h.t.Context(), h.person["owner"].ID, long)
	if err != nil {
		h.t.Fatal(err)
	}
	h.actors["cookie as a token"] = actor{bearer: cookie}
	h.actors["node session"] = actor{bearer: h.nodeSession()}
	h.tick(time.Minute)
}

// nodeSession is a session of a new node in a.
func (h *house) nodeSession() string {
	n := h.node(h.a)
	text, _, err := h.st.CreateSession(h.t.Context(), h.a.ID, n.ID, 24*time.Hour)
	if err != nil {
		h.t.Fatal(err)
	}
	return text
}

// node adds a node that holds a prefix.
func (h *house) node(o store.Organization) mesh.Node {
	h.t.Helper()
	h.count++
	_, secret, err := h.st.CreateKey(h.t.Context(), o.ID, store.KeyParams{Uses: 1})
	if err != nil {
		h.t.Fatal(err)
	}
	p := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(h.count >> 8), byte(h.count), 0}), 24)
	key := must[mesh.PrivateKey](h.t)(mesh.NewPrivateKey())
	r := must[store.Registered](h.t)(h.st.Register(h.t.Context(), store.Registration{Key: key.Public(), RegistrationKey: secret, Hostname: fmt.Sprintf("n%d", h.count), Prefixes: []netip.Prefix{p}}))
	return r.Node
}

// waiting is the user code of a node that waits.
func (h *house) waiting() string {
	h.t.Helper()
	key := must[mesh.PrivateKey](h.t)(mesh.NewPrivateKey())
	d := must[control.DeviceLogin](h.t)(h.ppl.StartDeviceLogin(h.t.Context(), people.DeviceLoginRequest{Key: key.Public(), Hostname: "waits", From: netip.MustParseAddr("198.51.100.7")}))
	return d.UserCode
}

// call makes a request and returns status and body.
func (h *house) call(bearer, method, path, body string, headers ...string) (int, string) {
	h.t.Helper()
	h.tick(20 * time.Second)
	ctx, cancel := context.WithTimeout(h.t.Context(), 20*time.Second)
	defer cancel()
	if strings.HasPrefix(path, control.PathWatch) { // a stream has no end
		time.AfterFunc(50*time.Millisecond, cancel)
	}
	r := httptest.NewRequestWithContext(ctx, method, path, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	if bearer != "" {
		r.Header.Set("Authorization", "Bearer "+bearer)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	h.h.ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

// place says whose things a call is about.
type place int

const (
	own     place = iota // organization a and what is in it
	foreign              // organization b and what is in it
	missing              // what is nowhere
	mixed                // organization a, a thing of b
	absent               // organization a, a thing that is nowhere
)

func (p place) org(h *house) string {
	switch p {
	case foreign:
		return string(h.b.ID)
	case missing:
		return "nowhere"
	}
	return string(h.a.ID)
}

// things makes what an operation is about, anew for each call.
type things func(h *house, p place, a actor) (id, query, body string)

func inOrg(makes func(h *house, o store.Organization) string) things {
	return func(h *house, p place, _ actor) (string, string, string) {
		switch p {
		case own:
			return makes(h, h.a), "", ""
		case foreign, mixed:
			return makes(h, h.b), "", ""
		}
		return "nowhere", "", ""
	}
}

func withBody(body string) things {
	return func(*house, place, actor) (string, string, string) { return "", "", body }
}

func nodeOf(h *house, o store.Organization) string { return string(h.node(o).ID) }

// rule is what the matrix expects of an operation.
type rule struct {
	who  string // see, inspect, use, manage: by role; person, node, proof, open
	make things
}

var nothing = withBody("")

var rules = map[string]rule{
	"GET /v1/health": {"open", nothing},
	"POST /v1/challenge": {"open", func(h *house, _ place, _ actor) (string, string, string) {
		return "", "", fmt.Sprintf(`{"public_key":%q}`, must[mesh.PrivateKey](h.t)(mesh.NewPrivateKey()).Public())
	}},
	"POST /v1/register":           {"proof", withBody(`{"public_key":"AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE="}`)},
	"POST /v1/session":            {"proof", withBody(`{"public_key":"AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE="}`)},
	"POST /v1/device-login":       {"proof", withBody(`{"public_key":"AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE="}`)},
	"POST /v1/device-login/token": {"proof", withBody(`{"public_key":"AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE="}`)},
	"PUT /v1/node/prefixes":       {"node", withBody(`{"prefixes":[]}`)},
	"PUT /v1/node/endpoints":      {"node", withBody(`{"endpoints":[]}`)},
	"POST /v1/relay-token":        {"node", nothing},
	"DELETE /v1/node":             {"node", nothing},
	"GET /v1/watch":               {"node", nothing},

	"GET /v1/users/me": {"person", nothing},
	"PUT /v1/users/me/default-organization": {"leave", func(h *house, p place, _ actor) (string, string, string) {
		return "", "", fmt.Sprintf(`{"organization":%q}`, p.org(h))
	}},
	"GET /v1/users/me/audit": {"person", nothing},
	"GET /v1/orgs":           {"person", nothing},
	"POST /v1/orgs": {"person", func(h *house, _ place, _ actor) (string, string, string) {
		h.count++
		return "", "", fmt.Sprintf(`{"name":"new%d","role":"owner","id":"x"}`, h.count)
	}},
	"GET /v1/orgs/{org}":               {"see", nothing},
	"GET /v1/orgs/{org}/nodes":         {"see", nothing},
	"GET /v1/orgs/{org}/nodes/{id}":    {"see", inOrg(nodeOf)},
	"DELETE /v1/orgs/{org}/nodes/{id}": {"manage", inOrg(nodeOf)},
	"GET /v1/orgs/{org}/prefixes":      {"see", nothing},
	"DELETE /v1/orgs/{org}/prefixes": {"manage", func(h *house, p place, _ actor) (string, string, string) {
		o := h.b
		if p == own {
			o = h.a
		}
		n := h.node(o)
		if p == missing || p == absent { // the same words as for one that is there, elsewhere
			if err := h.st.SetAdvertised(h.t.Context(), o.ID, n.ID, nil); err != nil {
				h.t.Fatal(err)
			}
			must[mesh.Holding](h.t)(h.st.ReleasePrefix(h.t.Context(), o.ID, n.Prefixes[0], ""))
		}
		return "", "?prefix=" + n.Prefixes[0].String(), ""
	}},
	"GET /v1/orgs/{org}/keys":  {"inspect", nothing},
	"POST /v1/orgs/{org}/keys": {"manage", withBody(`{"uses":1}`)},
	"DELETE /v1/orgs/{org}/keys/{id}": {"manage", inOrg(func(h *house, o store.Organization) string {
		k, _, err := h.st.CreateKey(h.t.Context(), o.ID, store.KeyParams{})
		if err != nil {
			h.t.Fatal(err)
		}
		return k.ID
	})},
	"GET /v1/orgs/{org}/members": {"see", nothing},
	"PUT /v1/orgs/{org}/members/{id}": {"manage", func(h *house, p place, a actor) (string, string, string) {
		id, _, _ := inOrg(newMember)(h, p, a)
		return id, "", `{"role":"auditor"}`
	}},
	"DELETE /v1/orgs/{org}/members/{id}": {"manage", inOrg(newMember)},
	"GET /v1/orgs/{org}/invitations":     {"inspect", nothing},
	"POST /v1/orgs/{org}/invitations":    {"manage", withBody(`{"role":"member"}`)},
	"DELETE /v1/orgs/{org}/invitations/{id}": {"manage", inOrg(func(h *house, o store.Organization) string {
		i, _, err := h.st.CreateInvitation(h.t.Context(), o.ID, mesh.RoleMember, "", time.Hour)
		if err != nil {
			h.t.Fatal(err)
		}
		return i.ID
	})},
	"GET /v1/orgs/{org}/audit": {"inspect", nothing},
	"POST /v1/invitations/accept": {"person", func(h *house, p place, _ actor) (string, string, string) {
		token := "nxi_nowhere"
		if p == own || p == foreign { // of a new organization; for "foreign" one that another has used
			h.count++
			o := must[store.Organization](h.t)(h.st.CreateOrganization(h.t.Context(), fmt.Sprintf("inv%d", h.count), ""))
			_, secret, err := h.st.CreateInvitation(h.t.Context(), o.ID, mesh.RoleMember, "", time.Hour)
			if err != nil {
				h.t.Fatal(err)
			}
			if token = secret; p == foreign {
				must[store.Organization](h.t)(h.st.AcceptInvitation(h.t.Context(), secret, h.person["bob"].ID))
			}
		}
		return "", "", fmt.Sprintf(`{"token":%q}`, token)
	}},
	"GET /v1/tokens":  {"person", nothing},
	"POST /v1/tokens": {"person", withBody(`{"scopes":["read"],"expires_in":60}`)},
	"DELETE /v1/tokens/{id}": {"person", func(h *house, p place, a actor) (string, string, string) {
		who := "bob"
		if p == missing {
			return "nowhere", "", ""
		}
		if p == own && a.person {
			who = cmpOr(string(a.role), "stranger")
		}
		tok, _ := h.token(who, "read", time.Minute)
		return tok.ID, "", ""
	}},
	"GET /v1/approvals/{id}": {"person", func(h *house, p place, _ actor) (string, string, string) { return h.code(p), "", "" }},
	"POST /v1/approvals/{id}/approve": {"use", func(h *house, p place, _ actor) (string, string, string) {
		code := h.code(own)
		if p == mixed || p == absent { // the code is what is foreign or missing, not the organization
			code = h.code(map[place]place{mixed: foreign, absent: missing}[p])
		}
		return code, "", fmt.Sprintf(`{"organization":%q}`, p.org(h))
	}},
	"POST /v1/approvals/{id}/deny": {"deny", func(h *house, p place, _ actor) (string, string, string) { return h.code(p), "", "" }},
}

func cmpOr(a, b string) string {
	if a == "" {
		return b
	}
	return a
}

func newMember(h *house, o store.Organization) string {
	h.count++
	return h.join(o, fmt.Sprintf("m%d@x.example", h.count), mesh.RoleMember).ID
}

// code is the user code of a node that waits; that was let in elsewhere; of none.
func (h *house) code(p place) string {
	switch p {
	case own:
		return h.waiting()
	case foreign:
		code := h.waiting()
		must[store.DeviceLogin](h.t)(h.st.DecideDeviceLogin(h.t.Context(), h.b.ID, code, true, time.Hour))
		return code
	}
	return "BBBB-BBBB"
}

// want is the status that an operation on one's own things has.
func (r rule) want(method string, a actor, session bool) int {
	change := method != http.MethodGet
	switch r.who {
	case "open":
		return 200
	case "proof":
		return 400 // for lack of one, whoever calls
	case "node":
		switch {
		case !session:
			return 401
		case method == http.MethodDelete:
			return 204
		}
		return 200
	}
	switch {
	case !a.person:
		return 401
	case change && !a.write:
		return 403
	case r.who == "person", r.who == "deny" && a.role != mesh.RoleAuditor:
		return 200
	case r.who == "deny":
		return 403
	case a.role == "":
		return 404
	}
	may := map[string][]mesh.Role{
		"see":     {mesh.RoleOwner, mesh.RoleAdmin, mesh.RoleMember, mesh.RoleAuditor},
		"leave":   {mesh.RoleOwner, mesh.RoleAdmin, mesh.RoleMember, mesh.RoleAuditor},
		"inspect": {mesh.RoleOwner, mesh.RoleAdmin, mesh.RoleAuditor},
		"use":     {mesh.RoleOwner, mesh.RoleAdmin, mesh.RoleMember},
		"manage":  {mesh.RoleOwner, mesh.RoleAdmin},
	}[r.who]
	if slices.Contains(may, a.role) {
		return 200
	}
	return 403
}

// operations reads the OpenAPI document that the service publishes.
func (h *house) operations() []string {
	h.t.Helper()
	status, text := h.call("", http.MethodGet, "/openapi.json", "")
	var doc struct {
		Paths map[string]map[string]struct {
			Security []map[string][]string `json:"security"`
		} `json:"paths"`
	}
	if err := json.Unmarshal([]byte(text), &doc); err != nil || status != 200 {
		h.t.Fatalf("openapi.json: %d, %v", status, err)
	}
	var ops []string
	for path, methods := range doc.Paths {
		for method, op := range methods {
			name := strings.ToUpper(method) + " " + path
			ops = append(ops, name)
			want := map[string]string{"open": "", "proof": "nodeProof", "node": "nodeSession"}
			scheme, special := want[rules[name].who]
			if !special {
				scheme = "apiToken"
			}
			got := ""
			for _, s := range op.Security {
				got += strings.Join(slices.Collect(maps.Keys(s)), "+")
			}
			if got != scheme {
				h.t.Errorf("%s: the document asks for %q, not %q", name, got, scheme)
			}
		}
	}
	slices.Sort(ops)
	return ops
}

// TestAccessMatrix calls every operation of the OpenAPI document as everybody, on
// their own and on foreign things.
func TestAccessMatrix(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute under the race detector; make test runs it")
	}
	h := newHouse(t)
	ops := h.operations()
	if known := slices.Sorted(maps.Keys(rules)); !slices.Equal(ops, known) {
		t.Fatalf("the document has\n%v\nthe matrix has\n%v", ops, known)
	}
	cells := 0
	for _, op := range ops {
		method, path, _ := strings.Cut(op, " ")
		r := rules[op]
		for _, who := range slices.Sorted(maps.Keys(h.actors)) {
			a := h.actors[who]
			do := func(p place) (int, string) {
				cells++
				id, query, body := r.make(h, p, a)
				bearer := a.bearer
				if who == "node session" {
					bearer = h.nodeSession() // one that DELETE /v1/node may end
				}
				return h.call(bearer, method, strings.NewReplacer("{org}", p.org(h), "{id}", id).Replace(path)+query, body)
			}
			status, text := do(own)
			want := r.want(method, a, who == "node session")
			if status != want {
				t.Errorf("%s by %s: %d, want %d: %s", op, who, status, want, text)
			}
			wantWords(t, op+" by "+who, status, text)
			same := func(what string, p, q place) {
				s1, t1 := do(p)
				s2, t2 := do(q)
				// An answer may repeat the name that the caller gave, and nothing else may differ.
				t1, t2 = strings.ReplaceAll(t1, p.org(h), "ORG"), strings.ReplaceAll(t2, q.org(h), "ORG")
				if s1 != s2 || t1 != t2 {
					t.Errorf("%s by %s: %s answers %d %s, what is missing %d %s", op, who, what, s1, t1, s2, t2)
				}
				if s1 < 400 || a.write && status == 200 && s1 != 404 {
					t.Errorf("%s by %s: %s answers %d %s", op, who, what, s1, t1)
				}
			}
			named := strings.Contains(path, "{org}") || r.who == "leave" || r.who == "use"
			thing := strings.Contains(path, "{id}") || strings.Contains(op, "accept")
			switch {
			case named:
				same("a foreign organization", foreign, missing)
				if thing || strings.HasSuffix(op, "DELETE /v1/orgs/{org}/prefixes") {
					same("a foreign thing", mixed, absent)
				}
			case thing:
				same("a foreign thing", foreign, missing)
			default: // nothing of the call names anything of anybody
				do(foreign)
			}
		}
	}
	t.Logf("%d operations, %d kinds of callers, %d calls", len(ops), len(h.actors), cells)
	h.nothingOfBChanged()
}

// wantWords checks that a refusal says what a program needs.
func wantWords(t *testing.T, what string, status int, text string) {
	t.Helper()
	if status < 400 {
		return
	}
	var p control.Problem
	if err := json.NewDecoder(bytes.NewReader([]byte(text))).Decode(&p); err != nil || p.Status != status || p.Detail == "" {
		t.Errorf("%s: %d is no problem: %s", what, status, text)
	}
	want := map[int][]string{401: {control.ReasonSession, control.ReasonToken}, 403: {control.ReasonRole}, 404: {""}}[status]
	if want != nil && !slices.Contains(want, p.Reason) {
		t.Errorf("%s: %d with reason %q", what, status, p.Reason)
	}
}

// nothingOfBChanged checks that only bob and the test itself acted in b.
func (h *house) nothingOfBChanged() {
	h.t.Helper()
	es := must[[]store.AuditEntry](h.t)(h.st.Audit(h.t.Context(), h.b.ID, "", 100_000))
	for _, e := range es {
		if e.Actor.Via == "token" || e.Actor.Via == "node" {
			h.t.Errorf("%s did %s in the foreign organization", e.Actor.Name, e.Action)
		}
	}
	if len(es) < 100 {
		h.t.Errorf("the matrix made only %d things in the foreign organization", len(es))
	}
}
