package netstack

import (
	"context"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"

	"nexd/internal/packet"
	"nexd/netstack/gvisor"
	"nexd/netstack/icmp"
)

// pings are the echo requests that wait for an answer.
type pings struct {
	mu      sync.Mutex
	waiting map[pingKey]chan error
}

type pingKey struct {
	peer    netip.Addr
	id, seq uint16
}

// Ping sends one echo request with size bytes of payload to a mesh address, waits for
// the reply and returns the round-trip time. It returns EHOSTUNREACH or ENETUNREACH
// for an ICMP error, and ETIMEDOUT if there is no answer before ctx's deadline.
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
	kind, overhead := uint8(icmp.EchoRequest4), packet.IPv4HeaderLen+icmp.HeaderLen
	if dst.Is6() {
		kind, overhead = icmp.EchoRequest6, packet.IPv6HeaderLen+icmp.HeaderLen
	}
	if size < 0 || size+overhead > n.cfg.MTU {
		return 0, syscall.EMSGSIZE
	}
	key, answer := n.pings.add(dst)
	defer n.pings.remove(key)
	request := icmp.Echo(src, dst, kind, key.id, key.seq, make([]byte, size))
	sent := time.Now()
	if !n.link.SendRaw(request) {
		return 0, net.ErrClosed
	}
	select {
	case err := <-answer:
		return time.Since(sent), err
	case <-ctx.Done():
		return 0, gvisor.ContextError(ctx)
	case <-n.done:
		return 0, net.ErrClosed
	}
}

// add registers a request under a random identity.
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

// finish passes on the answer if a request with this key waits for it.
func (p *pings) finish(key pingKey, err error) {
	p.mu.Lock()
	answer := p.waiting[key]
	delete(p.waiting, key)
	p.mu.Unlock()
	if answer != nil {
		answer <- err
	}
}

// reply is told of every echo reply.
func (p *pings) reply(from netip.Addr, id, seq uint16) { p.finish(pingKey{from, id, seq}, nil) }

// icmpArrived is told of each ICMP message from a peer. It handles the errors that
// gVisor does not pass on: those about our own echo requests, and for TCP the ICMPv6
// codes that gVisor does not know.
func (n *Net) icmpArrived(p packet.IP) {
	if mtu, q, ok := icmp.ParseTooBig(p); ok {
		n.tooBig(q, mtu)
		return
	}
	e, q, ok := icmp.ParseError(p)
	switch {
	case !ok:
		return
	case q.Echo:
		n.pings.finish(pingKey{q.Dst.Addr(), q.ID, q.Seq}, e.Errno(p.Is4()))
		return
	case p.Is4() || q.Proto != packet.ProtoTCP || e.Code == icmp.NoRoute6 || e.Code == icmp.PortUnreachable6:
		return // gVisor knows these
	}
	id := stack.TransportEndpointID{
		LocalAddress: gvisor.Address(q.Src.Addr()), LocalPort: q.Src.Port(),
		RemoteAddress: gvisor.Address(q.Dst.Addr()), RemotePort: q.Dst.Port(),
	}
	if ep := n.stack.FindTransportEndpoint(gvisor.Protocol(q.Dst.Addr()), tcp.ProtocolNumber, id, gvisor.NIC); ep != nil {
		pkt := gvisor.CopyPacket(p)
		defer pkt.DecRef()
		ep.HandleError(hostUnreachable{code: e.Code}, pkt)
	}
}

// tooBig passes on a "packet too big" about a datagram of a socket that exists.
func (n *Net) tooBig(q icmp.Quote, mtu int) {
	if n.cfg.OnTooBig == nil || q.Proto != packet.ProtoUDP || mtu < header.IPv6MinimumMTU || mtu >= n.cfg.MTU {
		return
	}
	local := stack.TransportEndpointID{LocalAddress: gvisor.Address(q.Src.Addr()), LocalPort: q.Src.Port()}
	connected := local
	connected.RemoteAddress, connected.RemotePort = gvisor.Address(q.Dst.Addr()), q.Dst.Port()
	for _, id := range []stack.TransportEndpointID{connected, local} {
		if n.stack.FindTransportEndpoint(ipv6.ProtocolNumber, udp.ProtocolNumber, id, gvisor.NIC) != nil {
			n.cfg.OnTooBig(q.Dst.Addr(), mtu)
			return
		}
	}
}

// hostUnreachable is the transport error that gVisor makes for ICMP but not for
// ICMPv6.
type hostUnreachable struct{ code uint8 }

func (hostUnreachable) Origin() tcpip.SockErrOrigin { return tcpip.SockExtErrorOriginICMP6 }
func (hostUnreachable) Type() uint8                 { return icmp.Unreachable6 }
func (e hostUnreachable) Code() uint8               { return e.code }
func (hostUnreachable) Info() uint32                { return 0 }
func (hostUnreachable) Kind() stack.TransportErrorKind {
	return stack.DestinationHostUnreachableTransportError
}
