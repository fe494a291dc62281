package store

import (
	"context"
	"log/slog"
	"time"

	"nexd/ipam"
	"nexd/mesh"
	"nexd/service/store/accounts"
	"nexd/service/store/column"
	"nexd/service/store/engine"
	"nexd/service/store/nodes"
	"nexd/service/store/txn"
)

// Options are the choices of Open; the zero value is right for a service.
type Options struct {
	Logger      *slog.Logger     // nil = discard
	Now         func() time.Time // nil = time.Now
	Create      bool             // make a database that does not exist; otherwise that is a mesh.NotFound error
	BusyTimeout time.Duration    // how long to wait while another process writes; 0 = 5 s
	Readers     int              // connections for reading; 0 = 4
	AddressRest time.Duration    // how long a released address stays unused; 0 = ipam.DefaultRest
	// OnCommit is called after every commit that raised a counter of an organization, on
	// the goroutine of the change and with nothing locked. It must not block. It does not
	// hear of new epochs and of other processes' changes; Revs shows those.
	OnCommit func(mesh.OrgID)
}

func (o *Options) setDefaults() {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.BusyTimeout == 0 {
		o.BusyTimeout = 5 * time.Second
	}
	if o.Readers == 0 {
		o.Readers = 4
	}
	if o.AddressRest == 0 {
		o.AddressRest = ipam.DefaultRest
	}
	if o.OnCommit == nil {
		o.OnCommit = func(mesh.OrgID) {}
	}
}

// Local names, so that both can be embedded.
type (
	nodeStore    = nodes.Store
	accountStore = accounts.Store
)

// Store is an open database. Its methods may be called from many goroutines. Most of
// them are those of nodes.Store and accounts.Store.
type Store struct {
	*nodeStore
	*accountStore
	db *txn.DB
}

// Open opens the database that dsn names, a file path, sqlite:PATH or
// postgres://…, and brings its schema up to date. Errors fit in one line and say
// what is wrong: no such database (mesh.NotFound), locked, read-only, full or
// damaged (mesh.Unavailable), not a database, a database of another program or of a
// newer nexservice (mesh.Invalid).
func Open(ctx context.Context, dsn string, opts Options) (*Store, error) {
	opts.setDefaults()
	e, err := openEngine(ctx, dsn, engine.Options{
		Logger: opts.Logger, Create: opts.Create, BusyTimeout: opts.BusyTimeout, Readers: opts.Readers,
	})
	if err != nil {
		return nil, txn.Failure("open", err)
	}
	return newStore(e, opts), nil
}

func newStore(e engine.Engine, opts Options) *Store {
	db := txn.New(e, opts.Now, opts.OnCommit)
	return &Store{nodes.New(db, opts.AddressRest), accounts.New(db), db}
}

// Close closes the database. Calls under way end with an error.
func (s *Store) Close() error { return s.db.Close() }

// Purge removes expired sessions of nodes and people, ended device logins, full budgets
// and long replaced nodes, and returns how many rows it removed. The service calls it now and then.
func (s *Store) Purge(ctx context.Context) (n int, err error) {
	err = s.db.Write(ctx, "purge sessions", func(tx *txn.Tx) error {
		n = 0
		for _, query := range []string{
			`DELETE FROM sessions WHERE expires <= $1`,
			`DELETE FROM web_sessions WHERE expires <= $1`,
			`DELETE FROM device_logins WHERE expires <= $1`,
			`DELETE FROM budgets WHERE spent <= $1`,
		} {
			gone, err := tx.Exec(ctx, query, column.Time(tx.Now))
			if err != nil {
				return err
			}
			n += int(gone)
		}
		gone, err := nodes.PurgeReplaced(ctx, tx)
		n += int(gone)
		return err
	})
	return n, err
}
