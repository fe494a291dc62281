package netstack_test

import (
	"context"
	"flag"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.zx2c4.com/wireguard/tun"
	"gvisor.dev/gvisor/pkg/refs"

	"nexd/internal/leak"
	"nexd/netstack"
)

// The tests run with gVisor's reference checks on: releasing a packet or view twice
// panics at once.
func TestMain(m *testing.M) {
	flag.Parse()
	if flag.Lookup("test.bench").Value.String() == "" { // they cost more than what is measured
		refs.SetLeakMode(refs.LeaksPanic)
	}
	code := m.Run()
	refs.DoLeakCheck()
	os.Exit(code)
}

var (
	addrA4, addrB4 = netip.MustParseAddr("100.64.0.1"), netip.MustParseAddr("100.64.0.2")
	addrA6, addrB6 = netip.MustParseAddr("fd00::1"), netip.MustParseAddr("fd00::2")
	container4     = netip.MustParseAddr("172.24.0.10")
	container6     = netip.MustParseAddr("fd77::10")
)

// wire connects two Nets in place of WireGuard and everything below it. All fields may
// change while it runs.
type wire struct {
	loss    atomic.Uint64 // packets of 10,000 that are lost
	reorder atomic.Uint64 // packets of 10,000 that are moved to the next batch
	mtu     atomic.Int64  // larger packets vanish without an ICMP error; 0 = none
	delay   atomic.Int64  // one way, nanoseconds
	down    atomic.Bool   // everything vanishes
	see     atomic.Pointer[func([]byte)]

	packets, large, batches atomic.Uint64 // packets moved; those larger than 1,200 bytes; batches moved
}

// pair is two Nets with a wire between.
type pair struct {
	a, b *netstack.Net
	wire *wire
	wg   sync.WaitGroup
}

func newPair(t testing.TB, cfg netstack.Config) *pair {
	t.Helper()
	return newPairOf(t, cfg, cfg)
}

func newPairOf(t testing.TB, a, b netstack.Config) *pair {
	t.Helper()
	leak.Check(t)
	p := &pair{wire: new(wire)}
	for _, side := range []struct {
		n     **netstack.Net
		cfg   netstack.Config
		addrs []netip.Addr
	}{{&p.a, a, []netip.Addr{addrA4, addrA6}}, {&p.b, b, []netip.Addr{addrB4, addrB6}}} {
		side.cfg.Addresses = side.addrs
		n, err := netstack.New(side.cfg)
		if err != nil {
			t.Fatal(err)
		}
		*side.n = n
	}
	p.wg.Go(func() { p.wire.pump(p.a.Device(), p.b.Device(), 1) })
	p.wg.Go(func() { p.wire.pump(p.b.Device(), p.a.Device(), 2) })
	t.Cleanup(p.close)
	return p
}

func (p *pair) close() {
	p.a.Close()
	p.b.Close()
	p.wg.Wait()
}

const headroom = 16 // as WireGuard leaves before a packet

type batch struct {
	bufs [][]byte
	due  time.Time
}

// pump carries packets from one device to the other until one is closed.
func (w *wire) pump(from, to tun.Device, seed uint64) {
	var later chan batch
	var delayed sync.WaitGroup
	defer func() {
		if later != nil {
			close(later)
		}
		delayed.Wait()
	}()
	rng := rand.New(rand.NewPCG(seed, 7))
	bufs, sizes := make([][]byte, from.BatchSize()), make([]int, from.BatchSize())
	for i := range bufs {
		bufs[i] = make([]byte, headroom+65535)
	}
	var put, out [][]byte
	for {
		n, err := from.Read(bufs, sizes, headroom)
		if err != nil {
			return
		}
		out = append(out[:0], put...)
		put = nil
		for i := range n {
			b := bufs[i][:headroom+sizes[i]]
			w.packets.Add(1)
			if see := w.see.Load(); see != nil {
				(*see)(b[headroom:])
			}
			if sizes[i] > 1200 {
				w.large.Add(1)
			}
			switch limit := int(w.mtu.Load()); {
			case w.down.Load(), limit > 0 && sizes[i] > limit, rng.Uint64N(10000) < w.loss.Load():
			case rng.Uint64N(10000) < w.reorder.Load():
				put = append(put, append([]byte(nil), b...))
			default:
				out = append(out, b)
			}
		}
		w.batches.Add(1)
		if len(out) == 0 {
			continue
		}
		if d := time.Duration(w.delay.Load()); d > 0 {
			if later == nil {
				later = make(chan batch, 1<<16)
				delayed.Go(func() { deliver(later, to) })
			}
			kept := make([][]byte, len(out))
			for i := range out {
				kept[i] = append([]byte(nil), out[i]...)
			}
			later <- batch{kept, time.Now().Add(d)}
			continue
		}
		if _, err := to.Write(out, headroom); err != nil {
			return
		}
	}
}

func deliver(later <-chan batch, to tun.Device) {
	for b := range later {
		time.Sleep(time.Until(b.due))
		to.Write(b.bufs, headroom)
	}
}

// within is a context for one step of a test.
func within(t testing.TB, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

func mustListen(t testing.TB, n *netstack.Net, addr netip.Addr) (net.Listener, netip.AddrPort) {
	t.Helper()
	ln, err := n.ListenTCP(netip.AddrPortFrom(addr, 0))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	return ln, ln.Addr().(*net.TCPAddr).AddrPort()
}

// connect makes a connection from a to b's address.
func (p *pair) connect(t testing.TB, to netip.Addr) (client, server net.Conn) {
	t.Helper()
	ln, at := mustListen(t, p.b, to)
	accepted := make(chan net.Conn, 1)
	go func() {
		c, err := ln.Accept()
		if err != nil {
			close(accepted)
			return
		}
		accepted <- c
	}()
	client, err := p.a.DialTCP(within(t, 10*time.Second), at)
	if err != nil {
		t.Fatal(err)
	}
	server, ok := <-accepted
	if !ok {
		t.Fatal("Accept failed")
	}
	t.Cleanup(func() { client.Close(); server.Close() })
	return client, server
}
