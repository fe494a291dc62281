package netcheck_test

import (
	"bytes"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"time"

	"nexd/internal/natlab"
	"nexd/netcheck"
	"nexd/service/stun"
)

// This file gives a network of internal/natlab sockets and STUN servers, for package
// synctest.

const wireDelay = 10 * time.Millisecond

func ap(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }

// box is the NAT or firewall between the host and the internet.
type box struct {
	addr    netip.Addr // outside; invalid: it translates nothing
	mapping natlab.Depends
	filter  natlab.Depends
	set     bool // the filter is a set of destinations of the whole box
	hairpin bool
	blocked bool
	mtu     int // 0 = none; longer packets with DF are lost
	jitter  time.Duration
}

const (
	onAddr     = natlab.OnAddr
	onAddrPort = natlab.OnAddrPort
)

// socket takes a packet.
type socket func(b []byte, from netip.AddrPort)

// internet has a server, and a host behind a box.
type internet struct {
	host netip.Addr

	mu              sync.Mutex // guards what follows
	box             box
	port            uint16
	inside, outside *natlab.Segment[socket]
}

func newInternet(host string, b box, servers ...string) *internet {
	n := &internet{host: netip.MustParseAddr(host), box: b, port: 4000, outside: natlab.Internet[socket]()}
	nat := natlab.Box{Addr: b.addr, Mapping: b.mapping, Filter: b.filter, Hairpin: b.hairpin, Together: b.set}
	if !b.addr.IsValid() {
		nat.Addr, nat.Firewall = n.host, true
	}
	n.inside = n.outside.Behind(nat)
	s := stun.New(stun.Config{})
	for _, at := range servers {
		conn := &memServer{n, ap(at)}
		k := s.On(conn)
		n.outside.Place(func(b []byte, from netip.AddrPort) {
			if out := k.Answer(nil, b, from, netip.Addr{}); len(out) > 0 {
				conn.SendFrom(out, from, netip.Addr{})
			}
		}, conn.at)
	}
	return n
}

// send brings a packet from the host, or from the internet, to where it belongs.
func (n *internet) send(b []byte, from, to netip.AddrPort, df bool) {
	b = bytes.Clone(b)
	delay := wireDelay
	if n.box.jitter > 0 {
		delay += rand.N(n.box.jitter)
	}
	time.AfterFunc(delay, func() {
		n.mu.Lock()
		on := n.outside
		if from.Addr() == n.host {
			on = n.inside
		}
		header := 28
		if to.Addr().Is6() {
			header = 48
		}
		long := n.box.mtu > 0 && len(b)+header > n.box.mtu && df
		if long || n.box.blocked {
			n.mu.Unlock()
			return
		}
		take, seen, ok := on.Route(from, to, natlab.UsualHops)
		n.mu.Unlock()
		if ok {
			take(b, seen)
		}
	})
}

type memServer struct {
	n  *internet
	at netip.AddrPort
}

func (s *memServer) LocalAddr() net.Addr { return net.UDPAddrFromAddrPort(s.at) }
func (s *memServer) SendFrom(b []byte, to netip.AddrPort, _ netip.Addr) error {
	s.n.send(b, s.at, to, false)
	return nil
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
		n.inside.Place(func(b []byte, from netip.AddrPort) {
			select {
			case s.inbox <- mail{b, from}:
			default:
			}
		}, s.at)
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
