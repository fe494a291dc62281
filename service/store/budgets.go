package store

import (
	"context"
	"time"

	"nexd/service/store/column"
	"nexd/service/store/engine"
	"nexd/service/store/txn"
)

// Take takes one token of a budget, a token bucket that all replicas share: it holds
// burst tokens and gets one back after each interval every. wait is 0 if Take got a
// token, else the time until there is one.
func (s *Store) Take(ctx context.Context, name string, every time.Duration, burst int) (wait time.Duration, err error) {
	err = s.db.Write(ctx, "take of a budget", func(tx *txn.Tx) error {
		now := tx.Now
		var spent int64
		err := tx.QueryRowLocked(ctx, `SELECT spent FROM budgets WHERE name = $1`, name).Scan(&spent)
		if err != nil && !engine.IsNoRow(err) {
			return err
		}
		full := column.ParseTime(spent) // when the budget is full
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

// Spend sets the time at which a budget is full again.
func (s *Store) Spend(ctx context.Context, name string, until time.Time) error {
	return s.db.Write(ctx, "spend a budget", func(tx *txn.Tx) error {
		_, err := tx.Exec(ctx, `INSERT INTO budgets (name, spent) VALUES ($1, $2)
			ON CONFLICT (name) DO UPDATE SET spent = excluded.spent`, name, column.Time(until))
		return err
	})
}

// Spent reports whether a budget is not full.
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

// Refill makes a budget full.
func (s *Store) Refill(ctx context.Context, name string) error {
	return s.db.Write(ctx, "refill a budget", func(tx *txn.Tx) error {
		_, err := tx.Exec(ctx, `DELETE FROM budgets WHERE name = $1`, name)
		return err
	})
}
