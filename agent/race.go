package agent

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"time"
)

// stagger is how long an address may keep silent before the next one is tried
// beside it; RFC 8305 recommends it.
const stagger = 250 * time.Millisecond

// race connects to the first of targets that answers: each gets a head start over
// the next, which begins at once when one fails. Only one connection is left.
func race(ctx context.Context, targets []netip.AddrPort, dial func(context.Context, netip.AddrPort) (net.Conn, error)) (net.Conn, error) {
	if len(targets) == 1 {
		return dial(ctx, targets[0])
	}
	ctx, cancel := context.WithCancel(ctx)
	type outcome struct {
		at   int
		conn net.Conn
		err  error
	}
	done := make(chan outcome)
	next, running := 0, 0
	start := func() {
		at := next
		next, running = next+1, running+1
		go func() {
			c, err := dial(ctx, targets[at])
			done <- outcome{at, c, err}
		}()
	}
	defer func() { // the losers
		cancel()
		for ; running > 0; running-- {
			if o := <-done; o.conn != nil {
				o.conn.Close()
			}
		}
	}()
	errs := make([]error, len(targets))
	timer := time.NewTimer(stagger)
	defer timer.Stop()
	for start(); ; {
		select {
		case o := <-done:
			running--
			if o.err == nil {
				return o.conn, nil
			}
			errs[o.at] = o.err
			if ctx.Err() != nil || next == len(targets) && running == 0 {
				return nil, errors.Join(errs...)
			}
		case <-timer.C:
		}
		if next < len(targets) {
			start()
			timer.Reset(stagger)
		}
	}
}
