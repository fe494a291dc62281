// Package periodic calls a function at a fixed interval.
package periodic

import (
	"context"
	"time"
)

// Run calls f once per interval, the first time after one interval. It returns nil when
// ctx ends and f's error when f fails.
func Run(ctx context.Context, interval time.Duration, f func() error) error {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if err := f(); err != nil {
			return err
		}
	}
}
