package netcheck

import (
	"context"
	"fmt"
	"sync"

	"nexd/internal/stun"
)

// Sizes of IP packets, in bytes.
const (
	MaxMTU  = 1500 // the largest that is tried
	minMTU  = 576  // the smallest
	header4 = 20 + 8
	header6 = 40 + 8
	// Overhead4 and Overhead6 are the bytes that WireGuard adds to a packet: IP, UDP, its own
	// header and tag.
	Overhead4 = 60
	Overhead6 = 80
)

// coarse are the sizes of the first round: the MTUs of known kinds of links, and some in between.
var coarse = []int{minMTU, 1280, 1300, 1320, 1340, 1360, 1380, 1400, 1420, 1440, 1460, 1480, 1492, MaxMTU}

// pathMTU finds the largest packet that reaches the first server without fragmentation.
func (f *family) pathMTU(ctx context.Context, out *Family) {
	sock, err := f.cfg.ListenDF(f.network)
	if err != nil {
		out.PathMTUWhy = fmt.Sprintf("cannot be measured on this host: %v", err)
		return
	}
	a := newAsker(sock)
	defer a.close()
	a.resend = quickly(f.first.took)
	header, overhead := header4, Overhead4
	if f.network == "udp6" {
		header, overhead = header6, Overhead6
	}
	best, next := f.largest(ctx, a, coarse, header)
	if best == 0 {
		out.PathMTUWhy = "no large request was answered"
		return
	}
	if next > best+4 {
		var fine []int
		step := max(4, (next-best)/16&^3)
		for size := best + step; size < next; size += step {
			fine = append(fine, size)
		}
		if b, _ := f.largest(ctx, a, fine, header); b > 0 {
			best = b
		}
	}
	out.PathMTU, out.TunnelMTU = best, best-overhead
}

// largest tries sizes, in ascending order, all at once. best is the largest that arrived, or 0;
// next is the smallest size above best that did not arrive, or best if all arrived.
func (f *family) largest(ctx context.Context, a *asker, sizes []int, header int) (best, next int) {
	passed := make([]bool, len(sizes))
	var tasks sync.WaitGroup
	for i, size := range sizes {
		tasks.Go(func() {
			_, err := a.ask(ctx, f.first.Server, stun.Asked, size-header)
			passed[i] = err == nil
		})
	}
	tasks.Wait()
	for i, size := range sizes {
		if passed[i] {
			best, next = size, size
		}
	}
	for i := len(sizes) - 1; i >= 0; i-- {
		if sizes[i] > best {
			next = sizes[i]
		}
	}
	return best, next
}
