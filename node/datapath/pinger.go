package datapath

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
	"golang.org/x/sync/errgroup"

	"nexd/mesh"
)

// ICMP's numbers, as x/net/icmp wants them.
const (
	protocolICMP   = 1
	protocolICMPv6 = 58
)

// pinger sends echo requests through raw sockets. It opens the sockets when the node starts, so that
// the process can then drop the capability that they need.
type pinger struct {
	v4, v6 *icmp.PacketConn // nil if this process may not open them

	mu      sync.Mutex
	waiting map[echoKey]chan struct{}
}

type echoKey struct {
	peer    netip.Addr
	id, seq uint16
}

func newPinger(log *slog.Logger) *pinger {
	p := &pinger{waiting: map[echoKey]chan struct{}{}}
	var err error
	if p.v4, err = icmp.ListenPacket("ip4:icmp", "0.0.0.0"); err != nil {
		log.Info("ping is not available: it needs CAP_NET_RAW at the start", "err", err)
		return p
	}
	if c := p.v4.IPv4PacketConn(); c != nil {
		var f ipv4.ICMPFilter
		f.SetAll(true)
		f.Accept(ipv4.ICMPTypeEchoReply)
		_ = c.SetICMPFilter(&f) // only an optimization
	}
	if p.v6, err = icmp.ListenPacket("ip6:ipv6-icmp", "::"); err != nil {
		log.Debug("ping has no IPv6", "err", err)
		return p
	}
	if c := p.v6.IPv6PacketConn(); c != nil {
		var f ipv6.ICMPFilter
		f.SetAll(true)
		f.Accept(ipv6.ICMPTypeEchoReply)
		_ = c.SetICMPFilter(&f)
	}
	return p
}

// run receives answers until ctx ends.
func (p *pinger) run(ctx context.Context) error {
	defer context.AfterFunc(ctx, p.close)()
	var g errgroup.Group
	g.Go(func() error { p.receive(p.v4, protocolICMP); return nil })
	g.Go(func() error { p.receive(p.v6, protocolICMPv6); return nil })
	return g.Wait()
}

func (p *pinger) close() {
	for _, c := range []*icmp.PacketConn{p.v4, p.v6} {
		if c != nil {
			c.Close()
		}
	}
}

func (p *pinger) receive(c *icmp.PacketConn, protocol int) {
	if c == nil {
		return
	}
	buf := make([]byte, 1<<16)
	for {
		n, from, err := c.ReadFrom(buf)
		if err != nil {
			return // closed
		}
		m, err := icmp.ParseMessage(protocol, buf[:n])
		if err != nil || m.Type != ipv4.ICMPTypeEchoReply && m.Type != ipv6.ICMPTypeEchoReply {
			continue
		}
		e, ok := m.Body.(*icmp.Echo)
		a, isIP := from.(*net.IPAddr)
		if !ok || !isIP {
			continue
		}
		peer, _ := netip.AddrFromSlice(a.IP)
		p.finish(echoKey{peer.Unmap(), uint16(e.ID), uint16(e.Seq)})
	}
}

func (p *pinger) finish(k echoKey) {
	p.mu.Lock()
	answered := p.waiting[k]
	delete(p.waiting, k)
	p.mu.Unlock()
	if answered != nil {
		close(answered)
	}
}

// ping sends one request and waits for its answer.
func (p *pinger) ping(ctx context.Context, to netip.Addr, size int) (time.Duration, error) {
	c, kind := p.v4, icmp.Type(ipv4.ICMPTypeEcho)
	if to.Is6() {
		c, kind = p.v6, ipv6.ICMPTypeEchoRequest
	}
	if c == nil {
		return 0, mesh.Errorf(mesh.Denied, "node: cannot ping %v: the node was started without CAP_NET_RAW; in TUN mode, use the host's own ping", to)
	}
	k := echoKey{to, uint16(rand.Uint32()), uint16(rand.Uint32())}
	answered := make(chan struct{})
	p.mu.Lock()
	p.waiting[k] = answered
	p.mu.Unlock()
	defer p.finish(k)
	m := icmp.Message{Type: kind, Body: &icmp.Echo{ID: int(k.id), Seq: int(k.seq), Data: make([]byte, size)}}
	b, err := m.Marshal(nil) // the kernel fills in the checksum of IPv6
	if err != nil {
		return 0, mesh.Errorf(mesh.Internal, "node: ping %v: %w", to, err)
	}
	sent := time.Now()
	if _, err := c.WriteTo(b, &net.IPAddr{IP: to.AsSlice()}); err != nil {
		return 0, mesh.Errorf(mesh.Unavailable, "node: ping %v: %w", to, errno(err))
	}
	select {
	case <-answered:
		return time.Since(sent), nil
	case <-ctx.Done():
		return 0, &net.OpError{Op: "ping", Net: "ip", Addr: &net.IPAddr{IP: to.AsSlice()}, Err: syscall.ETIMEDOUT}
	}
}

// errno returns the system call's error inside an error of package net.
func errno(err error) error {
	if sys, ok := errors.AsType[*os.SyscallError](err); ok {
		return sys.Err
	}
	return err
}
