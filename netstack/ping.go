package netstack

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip/header"

	"nexd/internal/packet"
)

// pings are the echo requests that wait for their answer.
type pings struct {
	mu      sync.Mutex
	waiting map[pingKey]chan error
}

type pingKey struct {
	peer    netip.Addr
	id, seq uint16
}

// Ping sends one echo request with size bytes of payload to a mesh address and
// waits for the answer. That the address cannot be reached is EHOSTUNREACH or
// ENETUNREACH if somebody says so, silence until ctx's deadline ETIMEDOUT.
func (n *Net) Ping(ctx context.Context, dst netip.Addr, size int) (time.Duration, error) {
	took, err := n.ping(ctx, dst.Unmap(), size)
	if err != nil {
		return 0, &net.OpError{Op: "ping", Net: "ip", Addr: &net.IPAddr{IP: dst.AsSlice()}, Err: err}
	}
	return took, nil
}

func (n *Net) ping(ctx context.Context, dst netip.Addr, size int) (time.Duration, error) {
	src, err := n.dialSource(ctx, netip.AddrPortFrom(dst, 1))
	if err != nil {
		return 0, err
	}
	kind, overhead := uint8(echoRequest4), packet.IPv4HeaderLen+icmpHeaderLen
	if dst.Is6() {
		kind, overhead = echoRequest6, packet.IPv6HeaderLen+icmpHeaderLen
	}
	if size < 0 || size+overhead > n.cfg.MTU {
		return 0, syscall.EMSGSIZE
	}
	key, answer := n.pings.add(dst)
	defer n.pings.remove(key)
	body := echoBody(kind, key.id, key.seq, make([]byte, size))
	sent := time.Now()
	if !n.sendICMP(src, dst, body) {
		return 0, net.ErrClosed
	}
	select {
	case err := <-answer:
		return time.Since(sent), err
	case <-ctx.Done():
		return 0, ctxError(ctx)
	case <-n.done:
		return 0, net.ErrClosed
	}
}

// add makes a request's identity, which cannot be guessed.
func (p *pings) add(peer netip.Addr) (pingKey, <-chan error) {
	answer := make(chan error, 1)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.waiting == nil {
		p.waiting = make(map[pingKey]chan error)
	}
	for {
		key := pingKey{peer: peer, id: uint16(rand.Uint32()), seq: uint16(rand.Uint32())}
		if _, taken := p.waiting[key]; !taken {
			p.waiting[key] = answer
			return key, answer
		}
	}
}

func (p *pings) remove(key pingKey) {
	p.mu.Lock()
	delete(p.waiting, key)
	p.mu.Unlock()
}

// finish hands the answer over if somebody waits for it.
func (p *pings) finish(key pingKey, err error) {
	p.mu.Lock()
	answer := p.waiting[key]
	delete(p.waiting, key)
	p.mu.Unlock()
	if answer != nil {
		answer <- err
	}
}

func (p *pings) reply(m icmpMessage) {
	p.finish(pingKey{m.src, binary.BigEndian.Uint16(m.body[4:]), binary.BigEndian.Uint16(m.body[6:])}, nil)
}

func (p *pings) failed(q quoted, err error) {
	p.finish(pingKey{q.dst.Addr(), q.id, q.seq}, err)
}

// reachErrno is what the code of a "destination unreachable" means.
func reachErrno(is4 bool, code uint8) error {
	switch {
	case is4 && header.ICMPv4Code(code) == header.ICMPv4NetUnreachable,
		is4 && header.ICMPv4Code(code) == header.ICMPv4DestinationNetworkUnknown,
		!is4 && header.ICMPv6Code(code) == header.ICMPv6NetworkUnreachable:
		return syscall.ENETUNREACH
	case is4 && header.ICMPv4Code(code) == header.ICMPv4PortUnreachable,
		!is4 && header.ICMPv6Code(code) == header.ICMPv6PortUnreachable:
		return syscall.ECONNREFUSED
	}
	return syscall.EHOSTUNREACH
}
