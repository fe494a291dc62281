package storetest

import (
	"context"
	"errors"
	"slices"
	"testing"

	"nexd/internal/leak"
	"nexd/service/store/engine"
)

// OpenEngine opens an engine over a database with an empty schema that no other test
// uses, and closes it when the test ends.
type OpenEngine func(*testing.T) engine.Engine

// RunEngine checks the contract of an engine.
func RunEngine(t *testing.T, open OpenEngine) {
	names := make([]string, 0, len(engines))
	for name := range engines {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			leak.Check(t)
			engines[name](t, open(t))
		})
	}
}

var engines = map[string]func(*testing.T, engine.Engine){
	"it has a name":                         named,
	"a query without a row is ErrNoRow":     noRow,
	"a second row of one key is duplicate":  duplicate,
	"statements count the rows they change": counts,
	"an error or a panic rolls back":        rollsBack,
	"a reader cannot write":                 readOnly,
	"a reader sees one moment":              oneMoment,
	"a locked row waits for its holder":     rowLock,
	"a canceled caller gets its error":      canceledCaller,
}

const (
	insertBudget = `INSERT INTO budgets (name, spent) VALUES ($1, $2)`
	readBudget   = `SELECT spent FROM budgets WHERE name = $1`
	raiseBudget  = `UPDATE budgets SET spent = $2 WHERE name = $1`
)

func insert(t *testing.T, e engine.Engine, name string, spent int64) {
	t.Helper()
	wantOK(t, "insert "+name, e.Write(t.Context(), func(tx engine.Tx) error {
		_, err := tx.Exec(t.Context(), insertBudget, name, spent)
		return err
	}))
}

// spent is the value of a row, or 0 without a row.
func spent(t *testing.T, e engine.Engine, name string) (n int64) {
	t.Helper()
	err := e.Read(t.Context(), func(q engine.Queryer) error { return q.QueryRow(t.Context(), readBudget, name).Scan(&n) })
	if err != nil && !errors.Is(err, engine.ErrNoRow) {
		t.Fatal(err)
	}
	return n
}

func named(t *testing.T, e engine.Engine) {
	if e.Name() == "" {
		t.Error("no name")
	}
}

func noRow(t *testing.T, e engine.Engine) {
	var n int64
	err := e.Read(t.Context(), func(q engine.Queryer) error { return q.QueryRow(t.Context(), readBudget, "x").Scan(&n) })
	if !errors.Is(err, engine.ErrNoRow) {
		t.Errorf("QueryRow: %v", err)
	}
	err = e.Write(t.Context(), func(tx engine.Tx) error { return tx.QueryRowLocked(t.Context(), readBudget, "x").Scan(&n) })
	if !errors.Is(err, engine.ErrNoRow) {
		t.Errorf("QueryRowLocked: %v", err)
	}
}

func duplicate(t *testing.T, e engine.Engine) {
	insert(t, e, "a", 1)
	err := e.Write(t.Context(), func(tx engine.Tx) error {
		_, err := tx.Exec(t.Context(), insertBudget, "a", 2)
		return err
	})
	if !errors.Is(err, engine.ErrDuplicate) {
		t.Errorf("a second row: %v", err)
	}
	if got := spent(t, e, "a"); got != 1 {
		t.Errorf("the first row is %d now", got)
	}
}

func counts(t *testing.T, e engine.Engine) {
	insert(t, e, "a", 1)
	insert(t, e, "b", 1)
	wantOK(t, "Write", e.Write(t.Context(), func(tx engine.Tx) error {
		for query, want := range map[string]int64{
			`UPDATE budgets SET spent = 2`:                  2,
			`UPDATE budgets SET spent = 3 WHERE name = 'a'`: 1,
			`DELETE FROM budgets WHERE name = 'c'`:          0,
		} {
			if changed, err := tx.Exec(t.Context(), query); err != nil || changed != want {
				t.Errorf("%s: %d rows, %v; want %d", query, changed, err, want)
			}
		}
		var name string
		err := tx.QueryRow(t.Context(), `DELETE FROM budgets WHERE name = $1 RETURNING name`, "b").Scan(&name)
		if name != "b" {
			t.Errorf("RETURNING gave %q", name)
		}
		return err
	}))
	if spent(t, e, "b") != 0 || spent(t, e, "a") == 1 {
		t.Error("the changes were not committed")
	}
}

func rollsBack(t *testing.T, e engine.Engine) {
	boom := errors.New("boom")
	err := e.Write(t.Context(), func(tx engine.Tx) error {
		if _, err := tx.Exec(t.Context(), insertBudget, "a", 1); err != nil {
			t.Error(err)
		}
		return boom
	})
	if !errors.Is(err, boom) {
		t.Errorf("Write = %v", err)
	}
	func() {
		defer func() {
			if r := recover(); r != boom {
				t.Errorf("recovered %v", r)
			}
		}()
		_ = e.Write(t.Context(), func(tx engine.Tx) error {
			if _, err := tx.Exec(t.Context(), insertBudget, "a", 1); err != nil {
				t.Error(err)
			}
			panic(boom)
		})
	}()
	if got := spent(t, e, "a"); got != 0 {
		t.Errorf("a row is left: %d", got)
	}
	insert(t, e, "a", 2) // the next writer does not wait for them
}

func readOnly(t *testing.T, e engine.Engine) {
	var name string
	err := e.Read(t.Context(), func(q engine.Queryer) error {
		return q.QueryRow(t.Context(), insertBudget+` RETURNING name`, "a", 1).Scan(&name)
	})
	if err == nil || spent(t, e, "a") != 0 {
		t.Errorf("a reader wrote: %v", err)
	}
}

func oneMoment(t *testing.T, e engine.Engine) {
	insert(t, e, "a", 1)
	var before, after int64
	wantOK(t, "Read", e.Read(t.Context(), func(q engine.Queryer) error {
		if err := q.QueryRow(t.Context(), readBudget, "a").Scan(&before); err != nil {
			return err
		}
		err := e.Write(t.Context(), func(tx engine.Tx) error {
			_, err := tx.Exec(t.Context(), raiseBudget, "a", 2)
			return err
		})
		if err != nil {
			return err
		}
		return q.QueryRow(t.Context(), readBudget, "a").Scan(&after)
	}))
	if before != 1 || after != 1 || spent(t, e, "a") != 2 {
		t.Errorf("the reader saw %d, then %d", before, after)
	}
}

// rowLock lets many transactions read a number and write the next one.
func rowLock(t *testing.T, e engine.Engine) {
	insert(t, e, "a", 1)
	together(crowd, func(int) {
		err := e.Write(context.Background(), func(tx engine.Tx) error {
			var n int64
			if err := tx.QueryRowLocked(context.Background(), readBudget, "a").Scan(&n); err != nil {
				return err
			}
			_, err := tx.Exec(context.Background(), raiseBudget, "a", n+1)
			return err
		})
		if err != nil {
			t.Errorf("Write: %v", err)
		}
	})
	if got := spent(t, e, "a"); got != crowd+1 {
		t.Errorf("%d transactions made %d of 1", crowd, got)
	}
}

func canceledCaller(t *testing.T, e engine.Engine) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := e.Write(ctx, func(engine.Tx) error { return nil })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Write = %v", err)
	}
	err = e.Read(ctx, func(engine.Queryer) error { return nil })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Read = %v", err)
	}
}
