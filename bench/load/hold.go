//go:build linux

package load

import (
	"context"
	"errors"
	"net"
	"sync"
)

// opening is the number of connections that HoldMany opens at a time.
const opening = 32

// HoldMany is Hold with several connections at a time.
func (c *ClientCalls) HoldMany(n int, opened *int) error {
	var mu sync.Mutex
	var wg sync.WaitGroup
	var failed error
	left := n
	take := func() bool {
		mu.Lock()
		defer mu.Unlock()
		left--
		return left >= 0 && failed == nil
	}
	keep := func(conn net.Conn, err error) {
		mu.Lock()
		defer mu.Unlock()
		if err != nil {
			failed = errors.Join(failed, err)
			return
		}
		c.held = append(c.held, conn)
	}
	for range min(opening, n) {
		wg.Go(func() {
			for take() {
				keep(c.exchange(context.Background()))
			}
		})
	}
	wg.Wait()
	*opened = len(c.held)
	return failed
}
