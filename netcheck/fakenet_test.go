package netcheck_test

import (
	"bytes"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"nexd/netcheck"
	"nexd/service/stun"
)

// This file is an internet in memory, with one NAT, for package synctest.

const wireDelay = 10 * time.Millisecond

func ap(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }

// depends is what a box's mapping, or filter, looks at.
type depends int

const (
	onNothing depends = iota
	onAddr
	onAddrPort
)

// of is what of an address counts.
func (d depends) of(a netip.AddrPort) netip.AddrPort {
	switch d {
	case onNothing:
		return netip.AddrPort{}
	case onAddr:
		return netip.AddrPortFrom(a.Addr(), 0)
	}
	return a
}

// box is what stands between the host and the internet.
type box struct {
	addr    netip.Addr // outside; invalid: it translates nothing
	mapping depends
	filter  depends
	hairpin bool
	blocked bool
	mtu     int // 0 = none; longer packets with DF are lost

	ports map[[2]netip.AddrPort]netip.AddrPort // inside, what counts of the destination -> outside
	back  map[netip.AddrPort]netip.AddrPort
	sent  map[netip.AddrPort][]netip.AddrPort // from an outside address, to
	next  uint16
}

func (b *box) out(from, to netip.AddrPort) netip.AddrPort {
	key := [2]netip.AddrPort{from, b.mapping.of(to)}
	seen, ok := b.ports[key]
	if !ok {
		seen = from
		if b.addr.IsValid() {
			b.next++
			seen = netip.AddrPortFrom(b.addr, 40000+b.next)
		}
		b.ports[key], b.back[seen] = seen, from
	}
	b.sent[seen] = append(b.sent[seen], to)
	return seen
}

func (b *box) in(from, to netip.AddrPort) (netip.AddrPort, bool) {
	inside, ok := b.back[to]
	return inside, ok && slices.ContainsFunc(b.sent[to], func(s netip.AddrPort) bool { return b.filter.of(s) == b.filter.of(from) })
}

// internet has a server, and a host behind a box.
type internet struct {
	host netip.Addr

	mu      sync.Mutex
	box     *box
	port    uint16
	sockets map[netip.AddrPort]func(b []byte, from netip.AddrPort)
}

func newInternet(host string, b box, servers ...string) *internet {
	b.ports, b.back, b.sent = map[[2]netip.AddrPort]netip.AddrPort{}, map[netip.AddrPort]netip.AddrPort{}, map[netip.AddrPort][]netip.AddrPort{}
	n := &internet{host: netip.MustParseAddr(host), box: &b, port: 4000, sockets: map[netip.AddrPort]func([]byte, netip.AddrPort){}}
	s := stun.New(stun.Config{})
	for _, at := range servers {
		conn := &memServer{n, ap(at)}
		k := s.On(conn)
		n.sockets[conn.at] = func(b []byte, from netip.AddrPort) {
			if out := k.Answer(nil, b, from); len(out) > 0 {
				conn.WriteToUDPAddrPort(out, from)
			}
		}
	}
	return n
}

// send brings a packet from the host, or from the internet, to where it belongs.
func (n *internet) send(b []byte, from, to netip.AddrPort, df bool) {
	b = bytes.Clone(b)
	time.AfterFunc(wireDelay, func() {
		n.mu.Lock()
		inside := from.Addr() == n.host
		header := 28
		if to.Addr().Is6() {
			header = 48
		}
		long := n.box.mtu > 0 && len(b)+header > n.box.mtu && df
		ok := !n.box.blocked && !long
		if inside && ok {
			from = n.box.out(from, to)
			if to.Addr() == n.box.addr {
				ok = n.box.hairpin
			}
		}
		if server := n.sockets[to]; ok && (server == nil || to.Addr() == n.host) {
			to, ok = n.box.in(from, to)
		}
		take := n.sockets[to]
		n.mu.Unlock()
		if ok && take != nil {
			take(b, from)
		}
	})
}

type memServer struct {
	n  *internet
	at netip.AddrPort
}

func (s *memServer) LocalAddr() net.Addr { return net.UDPAddrFromAddrPort(s.at) }
func (s *memServer) WriteToUDPAddrPort(b []byte, to netip.AddrPort) (int, error) {
	s.n.send(b, s.at, to, false)
	return len(b), nil
}

// memSocket is a socket of the host.
type memSocket struct {
	n      *internet
	at     netip.AddrPort
	df     bool
	inbox  chan mail
	closed chan struct{}
	once   sync.Once
}

type mail struct {
	b    []byte
	from netip.AddrPort
}

func (n *internet) listen(df bool) func(string) (netcheck.Socket, error) {
	return func(string) (netcheck.Socket, error) {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.port++
		s := &memSocket{n: n, at: netip.AddrPortFrom(n.host, n.port), df: df, inbox: make(chan mail, 100), closed: make(chan struct{})}
		n.sockets[s.at] = func(b []byte, from netip.AddrPort) {
			select {
			case s.inbox <- mail{b, from}:
			default:
			}
		}
		return s, nil
	}
}

func (s *memSocket) LocalAddr() net.Addr { return net.UDPAddrFromAddrPort(s.at) }
func (s *memSocket) WriteToUDPAddrPort(b []byte, to netip.AddrPort) (int, error) {
	s.n.send(b, s.at, to, s.df)
	return len(b), nil
}
func (s *memSocket) ReadFromUDPAddrPort(b []byte) (int, netip.AddrPort, error) {
	select {
	case m := <-s.inbox:
		return copy(b, m.b), m.from, nil
	case <-s.closed:
		return 0, netip.AddrPort{}, net.ErrClosed
	}
}
func (s *memSocket) Close() error {
	s.once.Do(func() { close(s.closed) })
	return nil
}
