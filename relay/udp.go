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

// How the UDP carrier is tried and trusted. While something is sent or received the
// relay is pinged twice a second; a pong is believed for UDPTrust.
const (
	UDPTrust  = 2 * time.Second
	udpFast   = 500 * time.Millisecond
	udpIdle   = 15 * time.Second // keeps a NAT's mapping, and finds out whether UDP passes now
	udpActive = 5 * time.Second  // after the last data
)

// udpCarrier carries the data of a session in datagrams while they arrive. The
// session's WebSocket stays: it carries everything else, and data when they do not.
// Its socket is bound to no address: each datagram leaves by the way that the host
// has for it then, and the newest tells the relay where the node is.
type udpCarrier struct {
	*Carrier
	s    *session
	conn *udprun.Conn
	ring chan struct{} // room for one: data after a rest, ping now

	moved atomic.Int64 // when data last moved, Unix nanoseconds
	seq   atomic.Uint64
	proof atomic.Uint64 // of the last pong
}

// newUDPCarrier is nil where UDP cannot even be tried.
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
	u.Aim(u.conn, addr)
	return u
}

// resolveUDP finds HOST:PORT, by IPv4 if it has it: only there a full packet of the
// usual MTU inside fits into a datagram with what the relay needs.
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
		if time.Since(time.Unix(0, u.moved.Load())) < udpActive {
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

func (u *udpCarrier) ping() {
	u.Write(AppendUDPPing(nil, UDPPing{Seq: u.seq.Add(1), Good: u.Good(), Proof: u.proof.Load()}))
}

// now pings at once.
func (u *udpCarrier) now() {
	select {
	case u.ring <- struct{}{}:
	default:
	}
}

// doubt takes back the trust and asks for it anew: the network has changed.
func (u *udpCarrier) doubt() {
	u.Believe(time.Time{})
	u.now()
}

// touch notes that data moves; after a rest it wakes run, which pings fast from then on.
func (u *udpCarrier) touch() {
	now := time.Now().UnixNano()
	if last := u.moved.Swap(now); now-last > int64(udpFast) {
		u.now()
	}
}

// send takes packets for a peer; false if they have to go another way.
func (u *udpCarrier) send(to mesh.Key, packets ...[]byte) bool {
	u.touch()
	return u.Send(to, packets...)
}

// message takes a message of data frames; false if it has to go another way.
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
		if err != nil { // such as: nobody listens there
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
	if !ok || p.Seq+3 < u.seq.Load() { // a late one says little
		return
	}
	was := u.Good()
	moved := u.proof.Swap(p.Proof) != p.Proof
	u.Believe(time.Now().Add(UDPTrust))
	if !was {
		u.s.c.log.Debug("relay: UDP passes", "addr", u.s.token.UDP)
	}
	if moved || !was {
		u.ping() // tells the relay
	}
}
