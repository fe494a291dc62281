package store

import (
	"context"
	"time"

	"nexd/service/store/engine"
)

// Take uses up one of a budget that all replicas share: burst at once, one more
// after each every. wait says how long until the next one, 0 if this one was had.
// Of many that ask at once, exactly as many get one as there are.
func (s *Store) Take(ctx context.Context, name string, every time.Duration, burst int) (wait time.Duration, err error) {
	err = s.write(ctx, "take of a budget", func(tx engine.Tx) error {
		now := s.opts.Now()
		var spent int64
		err := tx.QueryRow(ctx, `SELECT spent FROM budgets WHERE name = $1`, name).Scan(&spent)
		if err != nil && !isNoRow(err) {
			return err
		}
		full := toTime(spent) // when all of it is back
		if full.Before(now) {
			full = now
		}
		full = full.Add(every)
		if wait = full.Sub(now) - time.Duration(burst)*every; wait > 0 {
			return nil
		}
		wait = 0
		_, err = tx.Exec(ctx, `INSERT INTO budgets (name, spent) VALUES ($1, $2)
			ON CONFLICT (name) DO UPDATE SET spent = excluded.spent`, name, fromTime(full))
		return err
	})
	return wait, err
}

// Spend notes that a budget is whole again at until, whatever it was before.
func (s *Store) Spend(ctx context.Context, name string, until time.Time) error {
	return s.write(ctx, "spend a budget", func(tx engine.Tx) error {
		_, err := tx.Exec(ctx, `INSERT INTO budgets (name, spent) VALUES ($1, $2)
			ON CONFLICT (name) DO UPDATE SET spent = excluded.spent`, name, fromTime(until))
		return err
	})
}

// Spent says whether anything of a budget is used up now.
func (s *Store) Spent(ctx context.Context, name string) (used bool, err error) {
	err = s.read(ctx, "look at a budget", func(q engine.Queryer) error {
		var spent int64
		err := q.QueryRow(ctx, `SELECT spent FROM budgets WHERE name = $1`, name).Scan(&spent)
		if isNoRow(err) {
			return nil
		}
		used = toTime(spent).After(s.opts.Now())
		return err
	})
	return used, err
}

// Refill makes a budget whole again.
func (s *Store) Refill(ctx context.Context, name string) error {
	return s.write(ctx, "refill a budget", func(tx engine.Tx) error {
		_, err := tx.Exec(ctx, `DELETE FROM budgets WHERE name = $1`, name)
		return err
	})
}
