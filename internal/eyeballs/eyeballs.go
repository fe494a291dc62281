// Package eyeballs connects to whichever of several addresses answers first, in the
// manner of Happy Eyeballs (RFC 8305). It resolves no names.
package eyeballs

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"time"
)

// stagger is the head start of an address over the next one; RFC 8305 recommends it.
const stagger = 250 * time.Millisecond

// Dial connects to the first of targets that answers. Each target gets a head start
// over the next one, which is tried at once when an earlier one fails. Dial closes every
// other connection. When all targets fail, it joins their errors in the order of targets.
func Dial(ctx context.Context, targets []netip.AddrPort, dial func(context.Context, netip.AddrPort) (net.Conn, error)) (net.Conn, error) {
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
	defer func() { // ends the attempts that lost
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

// Interleave sorts addresses so that the families alternate, as long as there are
// addresses of both. The first address stays first. IPv4 in the form of IPv6 becomes IPv4,
// and zones are dropped.
func Interleave(addrs []netip.Addr) (out []netip.Addr) {
	var first, second []netip.Addr
	for _, a := range addrs {
		if a = a.Unmap().WithZone(""); len(first) == 0 || a.Is4() == first[0].Is4() {
			first = append(first, a)
		} else {
			second = append(second, a)
		}
	}
	for i := range max(len(first), len(second)) {
		out = append(out, first[min(i, len(first)):min(i+1, len(first))]...)
		out = append(out, second[min(i, len(second)):min(i+1, len(second))]...)
	}
	return out
}
