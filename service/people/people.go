package people

import (
	"log/slog"
	"net/netip"
	"strings"
	"time"

	"nexd/control"
	"nexd/internal/addrlimit"
	"nexd/mesh"
	"nexd/service/store"
)

// Config is what People needs.
type Config struct {
	Store      *store.Store
	Logger     *slog.Logger     // nil = discard
	Now        func() time.Time // nil = time.Now; the store's clock should be the same
	PublicURL  string           // base of every link, as in --public-url; empty: links are paths
	Pin        control.Pin      // appended to new registration keys; zero = none
	OpenSignUp bool             // people of the identity provider need no invitation
	// Interval is how long a waiting node waits between two polls; 0 = 3 s.
	Interval time.Duration
}

// People is the administration of a service. Make it with New; it starts no goroutine.
type People struct {
	cfg   Config
	store *store.Store
	log   *slog.Logger
	now   func() time.Time
	base  string        // of links: PublicURL without a slash at its end
	hash  chan struct{} // bounds the passwords being hashed
	cost  cost

	signIns *addrlimit.Limiter // tries to sign in, sign up and set up
	codes   *addrlimit.Limiter // tries of a user code
	logins  *addrlimit.Limiter // device logins that nodes start
}

// hashesAtOnce bounds the memory that password hashes take: 64 MiB each.
const hashesAtOnce = 2

// New makes People over a database.
func New(cfg Config) (*People, error) {
	if cfg.Store == nil {
		return nil, mesh.Errorf(mesh.Invalid, "people: no store")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Interval <= 0 {
		cfg.Interval = 3 * time.Second
	}
	p := &People{
		cfg: cfg, store: cfg.Store, log: cfg.Logger, now: cfg.Now,
		base: strings.TrimSuffix(cfg.PublicURL, "/"),
		hash: make(chan struct{}, hashesAtOnce), cost: fullCost,
	}
	p.signIns = addrlimit.New(cfg.Now, addrEvery, addrBurst)
	p.codes = addrlimit.New(cfg.Now, codeEvery, codeBurst)
	p.logins = addrlimit.New(cfg.Now, loginStartEvery, loginStartBurst)
	return p, nil
}

// allow counts one try of an address. Once the budget of the address is used up, the
// error says how long to wait.
func allow(l *addrlimit.Limiter, from netip.Addr, interval time.Duration, doing string) error {
	if l.Allow(from) {
		return nil
	}
	return later(interval, "too many tries to %s from %v; wait a little", doing, from)
}

// Link is the URL of a page. It begins with the public URL, never with what the headers
// of a request say. Without a public URL it is a path.
func (p *People) Link(path string) string { return p.base + path }

// Via is how a caller makes a change.
type Via string

// The ways to make a change.
const (
	ViaWeb     Via = "web"     // in a session of the pages
	ViaToken   Via = "token"   // with an API token
	ViaNode    Via = "node"    // by a node, about itself
	ViaCommand Via = "command" // by nexservice on the database
)

// Caller is the person who acts, with how they signed in and from where. The zero
// Caller is nobody and may do nothing.
type Caller struct {
	UserID  string
	Email   string
	Name    string
	Via     Via
	Session string     // ID of the web session or API token; not secret
	CSRF    string     // of a web session: the token in its forms; new after every sign-in
	Scopes  []string   // of an API token: control.ScopeRead, control.ScopeWrite
	From    netip.Addr // address of the request
	Expires time.Time  // of the session or token
}

// Session is a new web session. Cookie is secret: only the browser's cookie may hold
// it.
type Session struct {
	Cookie  string
	Expires time.Time
	Caller  Caller
}

// String hides the cookie.
func (s Session) String() string { return "(session of " + s.Caller.Email + ")" }

// GoString hides the cookie from %#v.
func (s Session) GoString() string { return s.String() }

// each converts a list. The result is never nil, so that it is [] in JSON.
func each[A, B any](in []A, convert func(A) B) []B {
	out := make([]B, len(in))
	for i, v := range in {
		out[i] = convert(v)
	}
	return out
}

// lifetime is a number of seconds as a duration. A century is as good as any longer
// time; every negative number is the same mistake.
func lifetime(seconds int64) time.Duration {
	const most = 100 * 366 * 24 * 3600
	return time.Duration(min(max(seconds, -1), most)) * time.Second
}
