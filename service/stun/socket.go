package stun

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"

	"nexd/internal/stun"
)

// Conn is what a Socket answers through when the answer is to come from another
// socket than the request went to; *net.UDPConn is one.
type Conn interface {
	WriteToUDPAddrPort(b []byte, to netip.AddrPort) (int, error)
	LocalAddr() net.Addr
}

// Socket is one of the sockets that the server answers on: it knows the others.
type Socket struct {
	server *Server
	conn   Conn
	at     netip.AddrPort // its own address, unspecified if it has all
	log    *slog.Logger
}

// On adds a socket. Whoever reads from it hands what came to Answer; all sockets
// are added before the first packet is read.
func (s *Server) On(conn Conn) *Socket {
	k := &Socket{server: s, conn: conn, log: s.cfg.Logger}
	if u, ok := conn.LocalAddr().(*net.UDPAddr); ok {
		ap := u.AddrPort()
		k.at = netip.AddrPortFrom(ap.Addr().Unmap().WithZone(""), ap.Port())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sockets = append(s.sockets, k)
	return k
}

// Answer appends the answer to a packet that came in here to b, or nothing if it
// gets none from here. It is what Serve does with each packet, for a socket that
// carries other things, too.
func (k *Socket) Answer(b, packet []byte, from netip.AddrPort) []byte {
	return k.server.answer(k, b, packet, from)
}

// Serve reads from conn, which is the socket's own, until ctx ends, and closes it.
func (k *Socket) Serve(ctx context.Context, conn *net.UDPConn) error {
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	in, out := make([]byte, stun.MaxSize+1), make([]byte, 0, stun.ProbeSize)
	for {
		n, from, err := conn.ReadFromUDPAddrPort(in)
		switch {
		case err == nil:
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("stun: reading on %v: %w", conn.LocalAddr(), err)
		default: // of one packet, such as an answer that nobody took
			k.log.Debug("stun: packet not read", "err", err)
			continue
		}
		if out = k.Answer(out[:0], in[:n], from); len(out) > 0 {
			k.write(out, from)
		}
	}
}

func (k *Socket) write(b []byte, to netip.AddrPort) {
	if k.at.Addr().Is4() { // such a socket takes no mapped addresses
		to = netip.AddrPortFrom(to.Addr().Unmap(), to.Port())
	}
	if _, err := k.conn.WriteToUDPAddrPort(b, to); err != nil {
		k.log.Debug("stun: answer not sent", "addr", to, "err", err)
	}
}

// sibling is the socket from which a request that came in at a socket is answered
// when it wants another port, or another address; nil if there is none. A socket
// that has all addresses answers from the one that was asked, so it is no other.
func (s *Server) sibling(at *Socket, want stun.Change) (best *Socket) {
	if at == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range s.sockets {
		samePort, sameAddr := k.at.Port() == at.at.Port(), k.at.Addr() == at.at.Addr()
		switch {
		case want&stun.ChangeAddr == 0:
			if sameAddr && !samePort {
				return k
			}
		case sameAddr || k.at.Addr().IsUnspecified() || at.at.Addr().IsUnspecified() || k.at.Addr().Is4() != at.at.Addr().Is4():
		case best == nil || samePort == (want&stun.ChangePort == 0): // as wanted, else just another address
			best = k
		}
	}
	return best
}

// other is the address of the server's that differs most from a socket's;
// invalid if it has only one.
func (s *Server) other(at *Socket) netip.AddrPort {
	if k := s.sibling(at, stun.ChangeAddr|stun.ChangePort); k != nil {
		return k.at
	}
	return netip.AddrPort{}
}
