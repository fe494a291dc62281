package engine

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"nexd/mesh"
)

// Engine is one open database. Its methods may be called from many goroutines.
type Engine interface {
	// Name is the database's name in messages and in hints about --db. It holds no
	// password.
	Name() string
	// Read runs fn in a transaction that cannot write. All statements of fn see the
	// database as of one moment.
	Read(ctx context.Context, fn func(Queryer) error) error
	// Write runs fn in a transaction and commits it if fn returns nil. If fn returns
	// an error or panics, Write rolls back and passes the error or the panic on. After
	// a conflict with another transaction an engine may roll back and run fn again, so
	// fn must do nothing outside of the transaction that it could not repeat.
	Write(ctx context.Context, fn func(Tx) error) error
	// Close closes the database. Transactions under way end with an error.
	Close() error
}

// Queryer runs statements that read.
type Queryer interface {
	// Query runs a statement that returns any number of rows. The caller closes them.
	Query(ctx context.Context, query string, args ...any) (Rows, error)
	// QueryRow runs a statement that returns one row. Its error comes from Scan.
	QueryRow(ctx context.Context, query string, args ...any) Row
}

// Tx runs statements that read and write.
type Tx interface {
	Queryer
	// QueryRowLocked is QueryRow for a SELECT from one table. The row stays locked
	// until the transaction ends: another transaction that locks it waits, and then
	// sees what this one committed.
	QueryRowLocked(ctx context.Context, query string, args ...any) Row
	// Exec runs a statement and returns the number of rows that it changed.
	Exec(ctx context.Context, query string, args ...any) (changed int64, err error)
}

// Row is the row of a QueryRow.
type Row interface {
	// Scan copies the columns into dest. Without a row it returns ErrNoRow.
	Scan(dest ...any) error
}

// Rows are the rows of a Query, read one after the other.
type Rows interface {
	Row
	Next() bool
	Err() error
	Close() error
}

// ErrNoRow says that a QueryRow found no row.
var ErrNoRow = errors.New("no row")

// ErrDuplicate says that a statement would have broken a unique constraint. The
// driver's error is wrapped with it. The transaction may have to end: PostgreSQL
// takes no further statement.
var ErrDuplicate = errors.New("duplicate row")

// Fault is an error of the database itself: it is locked, full, read-only,
// damaged or away. Its text tells the operator what to do.
type Fault struct {
	Kind     mesh.Kind
	Database string // its Name
	Text     string // continues "database NAME …"
	Err      error  // the driver's
}

// Error is the text for an operator, then the driver's.
func (f *Fault) Error() string {
	return "database " + f.Database + " " + f.Text + ": " + f.Err.Error()
}

// Unwrap is the driver's error.
func (f *Fault) Unwrap() error { return f.Err }

// Options are the choices that engines have in common.
type Options struct {
	Logger      *slog.Logger
	Create      bool          // make the database if it does not exist
	BusyTimeout time.Duration // how long a transaction waits for the lock of another process
	Readers     int           // connections for reading
}

// IsNoRow reports whether err comes from a QueryRow without a row.
func IsNoRow(err error) bool { return errors.Is(err, ErrNoRow) }

// IsDuplicate reports whether err comes from a unique constraint.
func IsDuplicate(err error) bool { return errors.Is(err, ErrDuplicate) }
