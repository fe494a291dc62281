package web

import (
	"database/sql"
	"encoding/base64"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/argon2"

	"nexd/control"
	"nexd/internal/leak"
	"nexd/mesh"
	"nexd/service/people"
	"nexd/service/store"
)

// t0 is when the tests happen.
var t0 = time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC)

const password = "correct horse"

// passwordHash is a hash of password that costs next to nothing to check.
var passwordHash = func() string {
	salt, b64 := []byte("0123456789abcdef"), base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("$argon2id$v=%d$m=64,t=1,p=1$%s$%s", argon2.Version, b64(salt), b64(argon2.IDKey([]byte(password), salt, 1, 64, 1, 32)))
}()

// town is the pages over people and a database, with a clock of its own.
type town struct {
	*Web
	t      *testing.T
	people *people.People
	store  *store.Store
	db     string
	clock  atomic.Int64
	names  []string // pairs: what a path in a test says, and what it is here
}

func (w *town) now() time.Time       { return t0.Add(time.Duration(w.clock.Load())) }
func (w *town) pass(d time.Duration) { w.clock.Add(int64(d)) }

// emptyTown has nobody yet.
func emptyTown(t *testing.T, change ...func(*Config)) *town {
	t.Helper()
	leak.Check(t)
	w := &town{t: t, db: filepath.Join(t.TempDir(), "nexd.db")}
	var err error
	if w.store, err = store.Open(t.Context(), w.db, store.Options{Create: true, Now: w.now}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.store.Close() })
	if _, err := w.store.Prepare(t.Context(), store.PrepareParams{PublicURL: "https://mesh.example.org"}); err != nil {
		t.Fatal(err)
	}
	if w.people, err = people.New(people.Config{Store: w.store, Now: w.now, PublicURL: "https://mesh.example.org"}); err != nil {
		t.Fatal(err)
	}
	cfg := Config{People: w.people, PublicURL: "https://mesh.example.org", JoinURL: "https://mesh.example.org/#pin=abc", Now: w.now}
	for _, f := range change {
		f(&cfg)
	}
	if w.Web, err = New(cfg); err != nil {
		t.Fatal(err)
	}
	return w
}

// newTown has Ada, who owns the organizations default and lab and nothing in them.
func newTown(t *testing.T, change ...func(*Config)) *town {
	t.Helper()
	w := emptyTown(t, change...)
	ada := w.person("ada@example.org", "Ada", "")
	must(t)(w.store.CreateOrganization(t.Context(), "lab", ada.ID))
	w.name("ada", ada.ID)
	return w
}

// must ends the test if a call failed.
func must(t *testing.T) func(any, error) {
	return func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
}

// name lets paths say {what} for an ID that the database made.
func (w *town) name(what, id string) { w.names = append(w.names, "{"+what+"}", id) }

// path is a path of a test with the names in it filled in.
func (w *town) path(s string) string { return strings.NewReplacer(w.names...).Replace(s) }

func (w *town) org(name string) mesh.OrgID {
	w.t.Helper()
	o, err := w.store.OrganizationByName(w.t.Context(), name)
	must(w.t)(o, err)
	return o.ID
}

// person is somebody with the tests' password: the owner of default, or with a role
// in it.
func (w *town) person(email, name string, role mesh.Role) store.User {
	w.t.Helper()
	ctx := store.WithActor(w.t.Context(), store.Actor{Name: "tests", Via: "command"})
	p := store.NewPerson{Email: email, Name: name, PasswordHash: passwordHash, Own: "default"}
	if role != "" {
		_, secret, err := w.store.CreateInvitation(ctx, w.org("default"), role, "", time.Hour)
		must(w.t)(secret, err)
		p.Invitation = secret
	}
	u, err := w.store.AddPerson(ctx, p)
	must(w.t)(u, err)
	return u
}

// owner is another owner of an organization of Ada's.
func (w *town) owner(org string) {
	w.t.Helper()
	u, err := w.store.AddPerson(w.t.Context(), store.NewPerson{Email: "other-" + org + "@example.org", PasswordHash: passwordHash, Own: "own"})
	must(w.t)(u, err)
	must(w.t)(nil, w.store.SetMembership(w.t.Context(), w.org(org), u.ID, mesh.RoleOwner))
}

// member is the person that an identity provider knows, with an account.
func (w *town) member(issuer string) {
	w.t.Helper()
	u, err := w.store.AddPerson(w.t.Context(), store.NewPerson{Email: "test-user@zitadel.ch", Issuer: issuer, Subject: "id1", Own: "own"})
	must(w.t)(u, err)
}

// caller is a person as a page's session has them.
func (w *town) caller(email string) people.Caller {
	w.t.Helper()
	u, err := w.store.UserByEmail(w.t.Context(), email)
	must(w.t)(u, err)
	return people.Caller{UserID: u.ID, Email: u.Email, Name: u.Name, Via: people.ViaWeb, From: netip.MustParseAddr("192.0.2.1")}
}

// node registers a node of default, with a key that is its own.
func (w *town) node(hostname, os, key string, prefixes ...string) mesh.Node {
	w.t.Helper()
	private, err := mesh.NewPrivateKey()
	must(w.t)(private, err)
	r := store.Registration{Key: private.Public(), RegistrationKey: key, Hostname: hostname, OS: os, Version: "v0.4.0"}
	for _, p := range prefixes {
		r.Prefixes = append(r.Prefixes, netip.MustParsePrefix(p))
	}
	reg, err := w.store.Register(w.t.Context(), r)
	must(w.t)(reg, err)
	return reg.Node
}

// waits starts the device login of a node.
func (w *town) waits(hostname string, prefixes ...string) (code string, key mesh.Key) {
	w.t.Helper()
	private, err := mesh.NewPrivateKey()
	must(w.t)(private, err)
	req := people.DeviceLoginRequest{Key: private.Public(), Hostname: hostname, OS: "linux", Version: "v1", From: netip.MustParseAddr("192.0.2.77")}
	for _, p := range prefixes {
		req.Prefixes = append(req.Prefixes, netip.MustParsePrefix(p))
	}
	d, err := w.people.StartDeviceLogin(w.t.Context(), req)
	must(w.t)(d, err)
	return d.UserCode, req.Key
}

// pending is the state of a node that waits with a code.
func (w *town) pending(code string) string {
	w.t.Helper()
	d, err := w.store.PendingDeviceLogin(w.t.Context(), code)
	must(w.t)(d, err)
	return d.State
}

// fill puts one of everything into default. It took three hours: the laptop was last
// seen when they began.
func (w *town) fill() *town {
	w.t.Helper()
	ctx := w.t.Context()
	ada := w.caller("ada@example.org")
	build, err := w.people.CreateKey(ctx, ada, "", control.NewKey{Description: "build machines", Uses: 5})
	must(w.t)(build, err)
	old, err := w.people.CreateKey(ctx, ada, "", control.NewKey{})
	must(w.t)(old, err)
	must(w.t)(w.people.RevokeKey(ctx, ada, "", old.ID))
	w.node("laptop", "darwin", build.Text)
	w.pass(3 * time.Hour)
	router := w.node("Router-Berlin", "linux", build.Text, "172.24.0.0/24", "172.28.0.0/24")
	must(w.t)(nil, w.store.SetAdvertised(ctx, w.org("default"), router.ID, []netip.Prefix{netip.MustParsePrefix("172.24.0.0/24")}))
	bob := w.person("bob@example.org", "", mesh.RoleMember)
	invitation, err := w.people.Invite(ctx, ada, "", control.NewInvitation{Role: mesh.RoleMember, Email: "cyd@example.org"})
	must(w.t)(invitation, err)
	token, err := w.people.CreateToken(ctx, ada, control.NewToken{Description: "backup", Scopes: []string{control.ScopeRead}})
	must(w.t)(token, err)
	code, key := w.waits("edge-7", "10.9.0.0/24")
	eve, err := w.store.AddPerson(ctx, store.NewPerson{Email: "eve@example.org", PasswordHash: passwordHash, Own: "harbour"})
	must(w.t)(eve, err)
	harbour, err := w.people.Invite(ctx, w.caller("eve@example.org"), "", control.NewInvitation{Role: mesh.RoleMember})
	must(w.t)(harbour, err)
	for what, id := range map[string]string{
		"router": string(router.ID), "default": string(w.org("default")), "build": build.ID, "buildkey": build.Prefix, "bob": bob.ID, "invitation": invitation.ID,
		"token": token.ID, "tokentext": token.Prefix, "code": code, "fingerprint": control.Fingerprint(key), "harbour": strings.TrimPrefix(harbour.Link, "https://mesh.example.org"),
	} {
		w.name(what, id)
	}
	return w
}

// changes are the audit rows of default and lab and about people, newest first.
func (w *town) changes() (all []string) {
	w.t.Helper()
	for _, org := range []mesh.OrgID{w.org("default"), w.org("lab"), ""} {
		es, err := w.store.Audit(w.t.Context(), org, "", 1000)
		must(w.t)(es, err)
		for _, e := range es {
			all = append(all, fmt.Sprint(e.Action, " ", e.Target, " ", e.After))
		}
	}
	return all
}

// changed reports whether a change was made whose action, target and result hold text.
func (w *town) changed(text string) bool {
	w.t.Helper()
	return slices.ContainsFunc(w.changes(), func(c string) bool { return strings.Contains(c, text) })
}

// breaks takes a table away, so that what reads it fails inside.
func (w *town) breaks(table string) {
	w.t.Helper()
	w.exec(`DROP TABLE ` + table)
}

// damages makes the database find a table damaged.
func (w *town) damages(table string) {
	w.t.Helper()
	w.exec(`PRAGMA writable_schema = ON; UPDATE sqlite_schema SET rootpage = 1000000 WHERE name = '` + table + `'; PRAGMA schema_version = 1000`)
}

func (w *town) exec(query string) {
	w.t.Helper()
	db, err := sql.Open("sqlite", w.db)
	must(w.t)(db, err)
	defer db.Close()
	must(w.t)(db.ExecContext(w.t.Context(), query))
}
