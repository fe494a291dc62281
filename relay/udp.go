package relay

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"nexd/internal/hostport"
	"nexd/internal/udprun"
	"nexd/mesh"
)

// Times of the UDP carrier. While data moves, the relay is pinged twice a second, and each pong is
// trusted for UDPTrust.
const (
	UDPTrust  = 2 * time.Second
	udpFast   = 500 * time.Millisecond
	udpIdle   = 15 * time.Second // between pings without data: keeps the NAT's mapping
	udpActive = 5 * time.Second  // after the last data
)

// udpCarrier carries the data of a session in datagrams while they arrive. The session's WebSocket
// carries everything else, and the data when datagrams do not arrive. The socket is bound to no
// address: each datagram takes the host's current route, and the newest tells the relay the address
// of the node.
type udpCarrier struct {
	*Carrier
	s    *session
	conn *udprun.Conn
	ring chan struct{} // capacity 1: ping now

	moved atomic.Int64 // when data last moved, Unix nanoseconds
	seq   atomic.Uint64
	proof atomic.Uint64 // of the last pong
}

// newUDPCarrier returns nil where UDP cannot be tried.
func newUDPCarrier(ctx context.Context, s *session) *udpCarrier {
	if s.token.UDP == "" {
		return nil
	}
	addr, err := resolveUDP(ctx, s.token.UDP)
	if err != nil {
		s.c.log.Debug("relay: no UDP", "addr", s.token.UDP, "err", err)
		return nil
	}
	network := "udp4"
	if addr.Addr().Is6() {
		network = "udp6"
	}
	conn, err := net.ListenUDP(network, nil)
	if err != nil {
		s.c.log.Debug("relay: no UDP", "addr", addr, "err", err)
		return nil
	}
	u := &udpCarrier{Carrier: NewCarrier(s.id, s.shared.ToRelay, s.shared.ToNode, s.c.queue.Own), s: s, conn: udprun.New(conn), ring: make(chan struct{}, 1)}
	u.Aim(u.conn, addr, netip.Addr{})
	s.c.log.Info("relay: a second UDP port carries relayed packets as datagrams", "port", u.conn.LocalAddr().Port(), "addr", addr)
	return u
}

// resolveUDP resolves HOST:PORT, to an IPv4 address if there is one. Only over IPv4 does a full
// packet of the usual inner MTU fit into a datagram with the relay's overhead.
func resolveUDP(ctx context.Context, place string) (at netip.AddrPort, err error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	addrs, err := hostport.Resolve(ctx, hostport.System, place)
	if err != nil {
		return at, err
	}
	if i := slices.IndexFunc(addrs, func(a netip.AddrPort) bool { return a.Addr().Is4() }); i >= 0 {
		return addrs[i], nil
	}
	return addrs[0], nil
}

// run pings and receives until ctx ends.
func (u *udpCarrier) run(ctx context.Context) {
	var tasks sync.WaitGroup
	defer tasks.Wait()
	defer u.conn.Close() // ends receive
	tasks.Go(func() { u.receive(ctx) })
	for {
		u.ping()
		every := udpIdle
		if u.active() {
			every = udpFast
		}
		t := time.NewTimer(every)
		select {
		case <-ctx.Done():
			t.Stop()
			return
		case <-t.C:
		case <-u.ring:
			t.Stop()
		}
	}
}

// ping sends a ping: while data moves, a run of two, because data comes in runs.
func (u *udpCarrier) ping() {
	p := UDPPing{Seq: u.seq.Add(1), Good: u.Good(), Proof: u.proof.Load()}
	if !u.active() {
		u.Write(AppendUDPPing(nil, p))
		return
	}
	rest := p
	p.Run, rest.Rest = true, true
	u.WriteRun(AppendUDPPing(nil, p), AppendUDPPing(nil, rest))
}

// active reports whether data has moved lately.
func (u *udpCarrier) active() bool {
	return time.Since(time.Unix(0, u.moved.Load())) < udpActive
}

// now sends a ping at once.
func (u *udpCarrier) now() {
	select {
	case u.ring <- struct{}{}:
	default:
	}
}

// doubt stops trusting UDP and pings at once, since the network has changed.
func (u *udpCarrier) doubt() {
	u.Believe(time.Time{})
	u.now()
}

// touch records that data moves. After an idle time it wakes run, which then pings more often.
func (u *udpCarrier) touch() {
	now := time.Now().UnixNano()
	if last := u.moved.Swap(now); now-last > int64(udpFast) {
		u.now()
	}
}

// send sends packets to a peer. It returns false if they have to go by WebSocket.
func (u *udpCarrier) send(to mesh.Key, packets ...[]byte) bool {
	u.touch()
	return u.Send(to, packets...)
}

// message sends a message of data frames. It returns false if it has to go by WebSocket.
func (u *udpCarrier) message(msg []byte) bool {
	u.touch()
	return u.SendMessage(msg)
}

func (u *udpCarrier) receive(ctx context.Context) {
	buf, r := make([]byte, udprun.BufferSize), u.conn.Reader()
	var taken []Taken
	var got batch
	for {
		n, segment, _, err := r.Read(buf)
		if ctx.Err() != nil {
			return
		}
		if err != nil { // for instance ICMP port unreachable
			if !sleep(ctx, 100*time.Millisecond) {
				return
			}
			continue
		}
		if n == 0 {
			continue
		}
		taken = u.Take(taken[:0], buf[:n], segment)
		for i := range taken {
			u.taken(&got, &taken[i])
		}
		if len(got.packets) > 0 {
			u.touch()
		}
		u.s.deliver(&got)
	}
}

func (u *udpCarrier) taken(got *batch, t *Taken) {
	switch {
	case t.Err != nil:
		u.s.c.refused.Add(1)
		return
	case t.Packet != nil:
		u.s.packet(got, t.Peer, t.Packet)
	default:
		EachFrame(t.Frames, func(ty Type, body []byte) error {
			switch ty {
			case TypeData:
				u.s.data(got, body)
			case TypePong:
				u.pong(body)
			}
			return nil
		})
	}
	u.s.c.datagrams.Add(1)
}

func (u *udpCarrier) pong(body []byte) {
	p, ok := ParseUDPPing(body)
	if !ok || p.Seq+3 < u.seq.Load() { // too late to show anything
		return
	}
	was := u.Good()
	moved := u.proof.Swap(p.Proof) != p.Proof
	u.Believe(time.Now().Add(UDPTrust))
	if !was {
		u.s.c.log.Debug("relay: UDP passes", "addr", u.s.token.UDP)
	}
	if moved || !was {
		u.ping() // so that the relay learns it
	}
}
