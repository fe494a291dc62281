package stun

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"

	"nexd/internal/pktinfo"
	"nexd/internal/stun"
)

// Conn is the part of a socket that is needed to answer from it. A *pktinfo.Conn is one.
type Conn interface {
	// SendFrom sends from an address that was asked, or from any if it is not valid.
	SendFrom(b []byte, to netip.AddrPort, asked netip.Addr) error
	LocalAddr() net.Addr
}

// Socket is one of the sockets that the server answers from. It knows the others.
type Socket struct {
	server *Server
	conn   Conn
	at     netip.AddrPort // its own address; unspecified if it listens on all
	log    *slog.Logger
}

// On adds a socket. The caller reads from it and passes the packets to Answer. All sockets must be
// added before the first packet is read.
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

// Answer appends the answer to a packet that arrived at this socket to b, or nothing if no answer
// leaves from here. asked is the address of this host that the packet was sent to, if the socket
// has several: the answer has to leave from there, and does so if it leaves from another socket.
// Serve calls Answer for each packet; a socket with other uses calls it by itself.
func (k *Socket) Answer(b, packet []byte, from netip.AddrPort, asked netip.Addr) []byte {
	return k.server.answer(k, b, packet, from, asked)
}

// Serve answers the packets that arrive at conn, which is the socket's own, from the address that
// each was sent to, until ctx ends, and closes conn.
func (k *Socket) Serve(ctx context.Context, conn *pktinfo.Conn) error {
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	in, out := make([]byte, stun.MaxSize+1), make([]byte, 0, stun.ProbeSize)
	for {
		n, from, asked, err := conn.Receive(in)
		switch {
		case err == nil:
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("stun: reading on %v: %w", conn.LocalAddr(), err)
		default: // an error of one packet, such as ICMP port unreachable
			k.log.Debug("stun: packet not read", "err", err)
			continue
		}
		if out = k.Answer(out[:0], in[:n], from, asked); len(out) > 0 {
			k.write(out, from, asked)
		}
	}
}

// write sends from an address that was asked, which another socket may have got. A socket with one
// address sends from that.
func (k *Socket) write(b []byte, to netip.AddrPort, asked netip.Addr) {
	if !k.at.Addr().IsUnspecified() {
		asked = netip.Addr{}
	}
	if err := k.conn.SendFrom(b, to, asked); err != nil {
		k.log.Debug("stun: answer not sent", "addr", to, "err", err)
	}
}

// sibling returns the socket from which to answer a request for another port, or another address.
// It returns nil if there is none. A socket on all addresses answers from the address that the
// request was sent to, so it does not count as another address.
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
		case best == nil || samePort == (want&stun.ChangePort == 0): // the port as requested, or at least another address
			best = k
		}
	}
	return best
}

// other returns the server's address that differs most from a socket's. It is not valid if there is
// only one.
func (s *Server) other(at *Socket) netip.AddrPort {
	if k := s.sibling(at, stun.ChangeAddr|stun.ChangePort); k != nil {
		return k.at
	}
	return netip.AddrPort{}
}
