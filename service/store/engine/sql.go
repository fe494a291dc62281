package engine

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

// Dialect is how a database of database/sql differs from the others.
type Dialect struct {
	// Translate turns a driver's error into one that wraps ErrDuplicate or into a
	// *Fault. Other errors it returns as they are.
	Translate func(error) error
	// RowLock ends a SELECT that locks the row it finds. It is empty if a
	// transaction that writes is the only one.
	RowLock string
}

// InTx runs fn in a transaction of db and commits it. A transaction that only
// reads is rolled back instead.
func InTx(ctx context.Context, db *sql.DB, d Dialect, readOnly bool, fn func(Tx) error) error {
	tx, err := db.BeginTx(ctx, &sql.TxOptions{ReadOnly: readOnly})
	if err != nil {
		return d.translate(err)
	}
	defer tx.Rollback()
	if err := fn(sqlTx{tx, d}); err != nil || readOnly {
		return err
	}
	return d.translate(tx.Commit())
}

func (d Dialect) translate(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, sql.ErrNoRows):
		return ErrNoRow
	}
	return d.Translate(err)
}

// Duplicate wraps a driver's error with ErrDuplicate.
func Duplicate(err error) error { return fmt.Errorf("%w: %w", ErrDuplicate, err) }

type sqlTx struct {
	tx *sql.Tx
	d  Dialect
}

func (t sqlTx) Query(ctx context.Context, query string, args ...any) (Rows, error) {
	rows, err := t.tx.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, t.d.translate(err)
	}
	return sqlRows{rows, t.d}, nil
}

func (t sqlTx) QueryRow(ctx context.Context, query string, args ...any) Row {
	return sqlRow{t.tx.QueryRowContext(ctx, query, args...), t.d}
}

func (t sqlTx) QueryRowLocked(ctx context.Context, query string, args ...any) Row {
	return t.QueryRow(ctx, query+t.d.RowLock, args...)
}

func (t sqlTx) Exec(ctx context.Context, query string, args ...any) (int64, error) {
	res, err := t.tx.ExecContext(ctx, query, args...)
	if err != nil {
		return 0, t.d.translate(err)
	}
	changed, err := res.RowsAffected()
	return changed, t.d.translate(err)
}

type sqlRow struct {
	row *sql.Row
	d   Dialect
}

func (r sqlRow) Scan(dest ...any) error { return r.d.translate(r.row.Scan(dest...)) }

type sqlRows struct {
	*sql.Rows
	d Dialect
}

func (r sqlRows) Err() error { return r.d.translate(r.Rows.Err()) }
