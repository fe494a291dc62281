package relayserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"nexd/relay"
)

// udpPath is how a node is reached in datagrams, once it has shown that it is.
type udpPath struct {
	mu     sync.Mutex
	opener *relay.Opener
	sealer *relay.Sealer
	conn   *net.UDPConn
	addr   netip.AddrPort
	until  time.Time // datagrams are believed to arrive; zero = they were never
	out    []byte    // the writer's
}

func newUDPPath(id relay.SessionID, sh relay.Shared) *udpPath {
	return &udpPath{opener: relay.NewOpener(sh.ToRelay), sealer: relay.NewSealer(id, sh.ToNode)}
}

// ServeUDP takes the datagrams of admitted nodes on conn until ctx ends, and closes
// it. Packets that are no datagrams of a relay go to other, which may be nil; what
// it appends is the answer.
func (s *Server) ServeUDP(ctx context.Context, conn *net.UDPConn, other func(b, packet []byte, from netip.AddrPort) []byte) error {
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	conn.SetReadBuffer(4 << 20)
	conn.SetWriteBuffer(4 << 20)
	in, out := make([]byte, relay.MaxDatagram+1), make([]byte, 0, 4096)
	for {
		n, from, err := conn.ReadFromUDPAddrPort(in)
		switch {
		case err == nil:
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("relayserver: reading on %v: %w", conn.LocalAddr(), err)
		default:
			s.log.Debug("relay: datagram not read", "err", err)
			continue
		}
		out = out[:0]
		if id, ok := relay.DatagramSession(in[:n]); ok {
			out = s.datagram(out, id, in[:n], conn, from)
		} else if other != nil {
			out = other(out, in[:n], from)
		}
		if len(out) > 0 && len(out) <= n { // never more than was sent
			conn.WriteToUDPAddrPort(out, from)
		}
	}
}

// datagram takes one of a session; it appends the answer to a ping.
func (s *Server) datagram(b []byte, id relay.SessionID, d []byte, conn *net.UDPConn, from netip.AddrPort) []byte {
	n := s.rooms.session(id)
	if n == nil {
		s.count.badDatagrams.Add(1)
		return b
	}
	n.udp.mu.Lock()
	frames, newest, err := n.udp.opener.Open(d)
	if err == nil && newest {
		n.udp.conn, n.udp.addr = conn, from
	}
	n.udp.mu.Unlock()
	if err != nil {
		s.count.badDatagrams.Add(1)
		return b
	}
	s.count.datagrams.Add(1)
	relay.EachFrame(frames, func(t relay.Type, body []byte) error {
		switch t {
		case relay.TypeData:
			s.forward(n, body)
		case relay.TypePing:
			b = n.udp.pong(b, body, newest)
		}
		return nil
	})
	return b
}

// pong answers a ping. Only the newest one says whether the node hears us.
func (u *udpPath) pong(b, body []byte, newest bool) []byte {
	p, ok := relay.ParseUDPPing(body)
	if !ok || len(b) > 0 {
		return b
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if newest {
		u.until = time.Time{}
		if p.Good {
			u.until = time.Now().Add(relay.UDPTrust)
		}
	}
	return u.sealer.Seal(b, relay.AppendFrame(nil, relay.TypePong, body))
}

// send takes a message of data frames; false if it has to go another way.
func (u *udpPath) send(msg []byte) bool {
	now := time.Now()
	u.mu.Lock()
	conn, addr, good := u.conn, u.addr, now.Before(u.until)
	u.mu.Unlock()
	if !good {
		return false
	}
	for len(msg) > 0 {
		_, _, rest, err := relay.NextFrame(msg)
		if err != nil {
			return true // never: the frames are our own
		}
		u.mu.Lock()
		u.out = u.sealer.Seal(u.out[:0], msg[:len(msg)-len(rest)])
		u.mu.Unlock()
		conn.WriteToUDPAddrPort(u.out, addr) // one that cannot be sent is one that does not arrive
		msg = rest
	}
	return true
}
