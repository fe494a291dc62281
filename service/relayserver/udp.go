package relayserver

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"nexd/internal/udprun"
	"nexd/relay"
)

// ServeUDP receives the datagrams of admitted nodes on conn until ctx ends, and closes conn.
// Packets that are not datagrams of a relay are passed to other, which may be nil, with the address
// that they were sent to, if conn has several; other appends the answer. All answers leave from the
// address that was asked.
func (s *Server) ServeUDP(ctx context.Context, conn *net.UDPConn, other func(b, packet []byte, from netip.AddrPort, asked netip.Addr) []byte) error {
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	r := &receiver{s: s, conn: udprun.New(conn), other: other, in: make([]byte, udprun.BufferSize), said: make([]byte, 0, 4096)}
	reader := r.conn.Reader()
	for {
		n, segment, from, err := reader.Read(r.in)
		switch {
		case err == nil && n > 0:
			r.receive(r.in[:n], segment, way{from, reader.Asked()})
		case err == nil:
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("relayserver: reading on %v: %w", conn.LocalAddr(), err)
		default:
			s.log.Debug("relay: datagram not read", "err", err)
		}
	}
}

// receiver is the state of the goroutine that reads one socket.
type receiver struct {
	s     *Server
	conn  *udprun.Conn
	other func(b, packet []byte, from netip.AddrPort, asked netip.Addr) []byte
	in    []byte
	said  []byte // answers
	taken []relay.Taken
	out   outgoing
}

// way is where datagrams came from, and the address of this host that they were sent to.
type way struct {
	from  netip.AddrPort
	asked netip.Addr
}

// receive processes a run of datagrams of one sender. It processes those of one session together,
// so that packets for one peer can leave as a run from where they are in memory.
func (r *receiver) receive(run []byte, segment int, from way) {
	for at := 0; at < len(run); {
		d := run[at:min(at+segment, len(run))]
		id, ok := relay.DatagramSession(d)
		if !ok {
			if r.other != nil {
				r.answer(r.other(r.said[:0], d, from.from, from.asked), len(d), from)
			}
			at += len(d)
			continue
		}
		end := at + len(d)
		for end < len(run) {
			next := run[end:min(end+segment, len(run))]
			if other, ok := relay.DatagramSession(next); !ok || other != id {
				break
			}
			end += len(next)
		}
		r.session(id, run[at:end], segment, from)
		at = end
	}
}

// answer sends an answer, unless it is longer than the request.
func (r *receiver) answer(b []byte, most int, to way) {
	if len(b) > 0 && len(b) <= most {
		r.conn.WriteFrom(b, len(b), to.from, to.asked, true)
	}
}

// session processes a run of datagrams that claim to be of one session.
func (r *receiver) session(id relay.SessionID, run []byte, segment int, from way) {
	n := r.s.rooms.session(id)
	if n == nil {
		r.s.count.noSession.Add(uint64((len(run) + segment - 1) / segment))
		return
	}
	r.taken = n.udp.Take(r.taken[:0], run, segment)
	for i := range r.taken {
		if r.taken[i].Newest {
			if n.udp.At() != from.from { // a NAT assigned another port, or the source is forged
				n.udp.Believe(time.Time{})
			}
			break
		}
	}
	good := uint64(0)
	for i := 0; i < len(r.taken); {
		t := &r.taken[i]
		switch {
		case t.Err != nil:
			if errors.Is(t.Err, relay.ErrRepeated) {
				r.s.count.repeated.Add(1)
			} else {
				r.s.count.forged.Add(1)
			}
			i++
			continue
		case t.Packet == nil:
			r.frames(n, t, min(segment, len(run)-i*segment), from)
			good++
			i++
			continue
		}
		j := i
		r.out.packets = r.out.packets[:0]
		for ; j < len(r.taken) && r.taken[j].Packet != nil && r.taken[j].Peer == t.Peer; j++ {
			r.out.packets = append(r.out.packets, r.taken[j].Packet)
		}
		r.s.forwardRun(n, t.Peer, r.out.packets, run[i*segment:min(j*segment, len(run))], segment)
		r.out.packets = r.out.packets[:0]
		good += uint64(j - i)
		i = j
	}
	r.s.count.datagrams.Add(good)
}

// frames processes the frames of a long datagram of size bytes.
func (r *receiver) frames(n *node, t *relay.Taken, size int, from way) {
	relay.EachFrame(t.Frames, func(ty relay.Type, body []byte) error {
		switch ty {
		case relay.TypeData:
			r.s.add(n, &r.out, body)
		case relay.TypePing:
			r.pong(n, body, t.Newest, size, from)
		}
		return nil
	})
	r.s.forward(n, &r.out)
}

// pong answers a ping. Only the newest ping determines whether the node receives datagrams. Only a
// ping with the proof of an earlier pong to its address makes that address the node's, since
// anybody can forge the source of a datagram.
func (r *receiver) pong(n *node, body []byte, newest bool, size int, from way) {
	p, ok := relay.ParseUDPPing(body)
	if !ok {
		return
	}
	proof := r.s.proof(n, from.from)
	switch {
	case newest && p.Good && p.Proof == proof:
		n.udp.Aim(r.conn, from.from, from.asked)
		n.udp.Believe(time.Now().Add(relay.UDPTrust))
	case newest:
		n.udp.Believe(time.Time{})
	}
	if p.Rest {
		return
	}
	pong := relay.AppendFrame(nil, relay.TypePong, relay.Pong(body, proof))
	b := n.udp.Long(r.said[:0], pong)
	if !p.Run || p.Proof != proof || len(b) == 0 {
		r.answer(b, size, from)
		return
	}
	if two := n.udp.Long(b, pong); len(two) == 2*len(b) { // shows whether runs arrive, and goes to the node itself
		r.conn.WriteFrom(two, len(b), from.from, from.asked, false)
	}
}

// proof is a value that a node knows only if a pong to this address has arrived.
func (s *Server) proof(n *node, at netip.AddrPort) uint64 {
	mac := hmac.New(sha256.New, s.cfg.TokenKey)
	mac.Write([]byte("udp way"))
	mac.Write(n.id[:])
	mac.Write(n.key[:])
	ip := at.Addr().As16()
	mac.Write(ip[:])
	mac.Write([]byte{byte(at.Port() >> 8), byte(at.Port())})
	return binary.BigEndian.Uint64(mac.Sum(nil))
}
