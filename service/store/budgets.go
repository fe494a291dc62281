package store

import (
	"context"
	"time"

	"nexd/service/store/column"
	"nexd/service/store/engine"
	"nexd/service/store/txn"
)

// Take uses up one of a budget that all replicas share: burst at once, one more
// after each every. wait says how long until the next one, 0 if this one was had.
// Of many that ask at once, exactly as many get one as there are.
func (s *Store) Take(ctx context.Context, name string, every time.Duration, burst int) (wait time.Duration, err error) {
	err = s.db.Write(ctx, "take of a budget", func(tx *txn.Tx) error {
		now := tx.Now
		var spent int64
		err := tx.QueryRowLocked(ctx, `SELECT spent FROM budgets WHERE name = $1`, name).Scan(&spent)
		if err != nil && !engine.IsNoRow(err) {
			return err
		}
		full := column.ParseTime(spent) // when all of it is back
		if full.Before(now) {
			full = now
		}
		full = full.Add(every)
		if wait = full.Sub(now) - time.Duration(burst)*every; wait > 0 {
			return nil
		}
		wait = 0
		_, err = tx.Exec(ctx, `INSERT INTO budgets (name, spent) VALUES ($1, $2)
			ON CONFLICT (name) DO UPDATE SET spent = excluded.spent`, name, column.Time(full))
		return err
	})
	return wait, err
}

// Spend notes that a budget is whole again at until, whatever it was before.
func (s *Store) Spend(ctx context.Context, name string, until time.Time) error {
	return s.db.Write(ctx, "spend a budget", func(tx *txn.Tx) error {
		_, err := tx.Exec(ctx, `INSERT INTO budgets (name, spent) VALUES ($1, $2)
			ON CONFLICT (name) DO UPDATE SET spent = excluded.spent`, name, column.Time(until))
		return err
	})
}

// Spent says whether anything of a budget is used up now.
func (s *Store) Spent(ctx context.Context, name string) (used bool, err error) {
	err = s.db.Read(ctx, "look at a budget", func(q engine.Queryer) error {
		var spent int64
		err := q.QueryRow(ctx, `SELECT spent FROM budgets WHERE name = $1`, name).Scan(&spent)
		if engine.IsNoRow(err) {
			return nil
		}
		used = column.ParseTime(spent).After(s.db.Now())
		return err
	})
	return used, err
}

// Refill makes a budget whole again.
func (s *Store) Refill(ctx context.Context, name string) error {
	return s.db.Write(ctx, "refill a budget", func(tx *txn.Tx) error {
		_, err := tx.Exec(ctx, `DELETE FROM budgets WHERE name = $1`, name)
		return err
	})
}
