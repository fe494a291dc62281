package periodic

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestRunEndsWithItsContextOrAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 3500*time.Millisecond)
		defer cancel()
		calls := 0
		count := func() error { calls++; return nil }
		if err := Run(ctx, time.Second, count); err != nil || calls != 3 {
			t.Errorf("%d calls, %v; want 3 in 3.5 s", calls, err)
		}
		failed := errors.New("failed")
		began := time.Now()
		if err := Run(t.Context(), time.Second, func() error { return failed }); err != failed || time.Since(began) != time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
	})
}
