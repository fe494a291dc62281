package store

import (
	"context"
	"log/slog"
	"time"

	"nexd/mesh"
)

// Options are the choices of Open; the zero value is right for a service.
type Options struct {
	Logger      *slog.Logger     // nil = discard
	Now         func() time.Time // nil = time.Now
	Create      bool             // make the database if there is none; else that is a mesh.NotFound error
	BusyTimeout time.Duration    // how long to wait for another writer; 0 = 5 s
	Readers     int              // connections for reading; 0 = 4
	AddressRest time.Duration    // how long a released address stays unused; 0 = ipam.DefaultRest
	// OnCommit is called after every committed change of an organization that Revs
	// shows, on the goroutine that made it and with nothing locked. It must not
	// block. Changes made by other processes are seen by Revs alone.
	OnCommit func(mesh.OrgID)
}

// bootstrapHint is the way out when there is no database yet.
const bootstrapHint = "make one with: nexservice bootstrap --db="

// Store is an open database. Its methods may be called from many goroutines.
type Store struct {
	opts Options
}

// Open opens the database that dsn names, a file path, sqlite:PATH or
// postgres://…, and brings its schema up to date. What can go wrong is told in
// one line: no such database (mesh.NotFound), read-only or full (mesh.Unavailable
// and mesh.Exhausted), locked (mesh.Unavailable), not a database or of a newer
// nexservice (mesh.Invalid).
func Open(ctx context.Context, dsn string, opts Options) (*Store, error) { return nil, errNotYet }

// Close closes the database. Calls under way end with an error.
func (s *Store) Close() error { return errNotYet }

var errNotYet = mesh.Errorf(mesh.Internal, "store: not built yet")
