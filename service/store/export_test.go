package store

import (
	"context"

	"nexd/service/store/engine"
)

// OpenOver is Open with an engine of the test's own around the one of dsn.
func OpenOver(ctx context.Context, dsn string, opts Options, around func(engine.Engine) engine.Engine) (*Store, error) {
	opts.setDefaults()
	e, err := openEngine(ctx, dsn, engine.Options{Logger: opts.Logger, Create: true, BusyTimeout: opts.BusyTimeout, Readers: opts.Readers})
	if err != nil {
		return nil, err
	}
	return newStore(around(e), opts), nil
}
