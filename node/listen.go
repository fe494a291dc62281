package node

import (
	"errors"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"syscall"

	"nexd/mesh"
	"nexd/netmap"
)

// portTries is how often a free port is looked for that both address families have free.
const portTries = 8

// Listen listens for TCP connections from the mesh. Network is tcp, tcp4 or tcp6. Address is
// HOST:PORT; an empty HOST stands for all mesh addresses of this node, others are one of its
// addresses or its name, and 0.0.0.0 or :: stand for all of one family. Port 0 picks a free
// port, the same for both families. The host's own network sees nothing of the listener, but in
// TUN mode, where the port must be free on the host.
//
// A node can listen once it is Ready; before, the error is Unavailable. The caller closes the
// listener. It fails when Run ends. WhoIs names the node behind the remote address of a
// connection.
func (n *Node) Listen(network, address string) (net.Listener, error) {
	at, err := n.listenAt("tcp", network, address)
	if err != nil {
		return nil, err
	}
	lns, err := openAll(at, n.path.ListenTCP, func(ln net.Listener) net.Addr { return ln.Addr() })
	switch {
	case err != nil:
		return nil, err
	case len(lns) == 1:
		return lns[0], nil
	}
	return newMultiListener(lns), nil
}

// ListenPacket opens an unconnected UDP socket on the mesh. Network is udp, udp4 or udp6;
// address is as for Listen. Its addresses are *net.UDPAddr.
func (n *Node) ListenPacket(network, address string) (net.PacketConn, error) {
	at, err := n.listenAt("udp", network, address)
	if err != nil {
		return nil, err
	}
	conns, err := openAll(at, n.path.ListenUDP, net.PacketConn.LocalAddr)
	switch {
	case err != nil:
		return nil, err
	case len(conns) == 1:
		return conns[0], nil
	}
	return newDualPacketConn(conns[0], conns[1]), nil // IPv4 first, as listenAt has them
}

// listenAt returns the addresses to listen on for one protocol.
func (n *Node) listenAt(protocol, network, address string) (at []netip.AddrPort, err error) {
	p, family, err := splitNetwork(network)
	if err != nil || p != protocol {
		return nil, mesh.Errorf(mesh.Invalid, "node: unknown network %q; it must be %s, %s4 or %s6", network, protocol, protocol, protocol)
	}
	host, port, err := netmap.SplitListenAddress(address)
	if err != nil {
		return nil, err
	}
	v := n.view.Load()
	if v.Empty() {
		return nil, mesh.Errorf(mesh.Unavailable, "node: cannot listen on %s: not joined yet", address)
	}
	var addrs []netip.Addr
	if host == "" {
		addrs = families(v.Self.Addresses)
	} else if addrs, err = v.Resolve(host); err != nil {
		return nil, err
	}
	for _, a := range addrs { // one of each family, IPv4 first
		if family.has(a) && !slices.ContainsFunc(at, func(b netip.AddrPort) bool { return a.Is4() == b.Addr().Is4() }) {
			at = append(at, netip.AddrPortFrom(a, port))
		}
	}
	slices.SortFunc(at, func(a, b netip.AddrPort) int { return a.Addr().BitLen() - b.Addr().BitLen() })
	if len(at) == 0 {
		return nil, &net.OpError{Op: "listen", Net: network, Err: syscall.EADDRNOTAVAIL}
	}
	return at, nil
}

// families returns the unspecified address of each family of addrs, IPv4 first.
func families(addrs []netip.Addr) (out []netip.Addr) {
	for _, any := range []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()} {
		for _, a := range addrs {
			if a.Is4() == any.Is4() {
				out = append(out, any)
				break
			}
		}
	}
	return out
}

// openAll opens a socket at each address, all with one port, or none.
func openAll[S interface{ Close() error }](at []netip.AddrPort, open func(netip.AddrPort) (S, error), addr func(S) net.Addr) ([]S, error) {
	for try := 1; ; try++ {
		all, err := openEach(at, open, addr)
		if err == nil || at[0].Port() != 0 || len(at) == 1 || try == portTries || !errors.Is(err, syscall.EADDRINUSE) {
			return all, err
		}
	}
}

// openEach is one try of openAll: the others get the port of the first one.
func openEach[S interface{ Close() error }](at []netip.AddrPort, open func(netip.AddrPort) (S, error), addr func(S) net.Addr) (all []S, err error) {
	port := at[0].Port()
	for _, a := range at {
		s, err := open(netip.AddrPortFrom(a.Addr(), port))
		if err != nil {
			for _, s := range all {
				s.Close()
			}
			return nil, err
		}
		if all = append(all, s); port == 0 {
			port = portOf(addr(s))
		}
	}
	return all, nil
}

// portOf is the port of a socket's address.
func portOf(a net.Addr) uint16 {
	_, text, err := net.SplitHostPort(a.String())
	if err != nil {
		return 0
	}
	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return 0
	}
	return uint16(port)
}

// multiListener accepts from several listeners.
type multiListener struct {
	listeners []net.Listener
	accepted  chan accepted
	done      chan struct{}
	once      sync.Once
	loops     sync.WaitGroup
}

type accepted struct {
	conn net.Conn
	err  error
}

func newMultiListener(listeners []net.Listener) *multiListener {
	m := &multiListener{listeners: listeners, accepted: make(chan accepted), done: make(chan struct{})}
	for _, ln := range listeners {
		m.loops.Go(func() { m.acceptLoop(ln) })
	}
	return m
}

// acceptLoop hands over what one listener accepts, or its error, until Close.
func (m *multiListener) acceptLoop(ln net.Listener) {
	for {
		c, err := ln.Accept()
		select {
		case m.accepted <- accepted{c, err}:
		case <-m.done:
			if c != nil {
				c.Close()
			}
			return
		}
	}
}

// Accept implements net.Listener.
func (m *multiListener) Accept() (net.Conn, error) {
	select {
	case a := <-m.accepted:
		return a.conn, a.err
	case <-m.done:
		return nil, net.ErrClosed
	}
}

// Addr implements net.Listener. It is the address of the first listener; all have its port.
func (m *multiListener) Addr() net.Addr { return m.listeners[0].Addr() }

// Close implements net.Listener.
func (m *multiListener) Close() error {
	err := net.ErrClosed
	m.once.Do(func() {
		err = nil
		close(m.done)
		for _, ln := range m.listeners {
			err = errors.Join(err, ln.Close())
		}
		m.loops.Wait()
	})
	return err
}
