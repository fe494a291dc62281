package relay

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"time"
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
type udpCarrier struct {
	s    *session
	conn net.Conn
	ring chan struct{} // room for one: data after a rest, ping now

	trusted atomic.Int64 // until when datagrams are believed to arrive, Unix nanoseconds
	moved   atomic.Int64 // when data last moved

	mu     sync.Mutex // of sealer and seq
	sealer *Sealer
	seq    uint64
	out    []byte // the writer's
}

// newUDPCarrier is nil where UDP cannot even be tried.
func newUDPCarrier(ctx context.Context, s *session) *udpCarrier {
	if s.token.UDP == "" {
		return nil
	}
	conn, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, "udp", s.token.UDP)
	if err != nil {
		s.c.log.Debug("relay: no UDP", "addr", s.token.UDP, "err", err)
		return nil
	}
	return &udpCarrier{s: s, conn: conn, ring: make(chan struct{}, 1), sealer: NewSealer(s.id, s.shared.ToRelay)}
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
	u.mu.Lock()
	u.seq++
	d := u.sealer.Seal(nil, AppendUDPPing(nil, UDPPing{Seq: u.seq, Good: u.good()}))
	u.mu.Unlock()
	u.conn.Write(d) // one that cannot be sent is one that does not arrive
}

func (u *udpCarrier) good() bool { return time.Now().UnixNano() < u.trusted.Load() }

// touch notes that data moves; after a rest it wakes run, which pings fast from then on.
func (u *udpCarrier) touch() {
	now := time.Now().UnixNano()
	if last := u.moved.Swap(now); now-last > int64(udpFast) {
		select {
		case u.ring <- struct{}{}:
		default:
		}
	}
}

// send takes a message of data frames; false if it has to go another way.
func (u *udpCarrier) send(msg []byte) bool {
	u.touch()
	if !u.good() {
		return false
	}
	for len(msg) > 0 {
		_, _, rest, err := NextFrame(msg)
		if err != nil {
			return true // never: the frames are our own
		}
		u.mu.Lock()
		u.out = u.sealer.Seal(u.out[:0], msg[:len(msg)-len(rest)])
		u.mu.Unlock()
		u.conn.Write(u.out)
		msg = rest
	}
	return true
}

func (u *udpCarrier) receive(ctx context.Context) {
	opener, buf := NewOpener(u.s.shared.ToNode), make([]byte, MaxDatagram+1)
	for {
		n, err := u.conn.Read(buf)
		if ctx.Err() != nil {
			return
		}
		if err != nil { // such as: nobody listens there
			if !sleep(ctx, 100*time.Millisecond) {
				return
			}
			continue
		}
		frames, _, err := opener.Open(buf[:n])
		if err != nil {
			u.s.c.refused.Add(1)
			continue
		}
		u.s.c.datagrams.Add(1)
		EachFrame(frames, u.frame)
	}
}

func (u *udpCarrier) frame(t Type, body []byte) error {
	switch t {
	case TypeData:
		u.touch()
		u.s.deliver(body)
	case TypePong:
		p, ok := ParseUDPPing(body)
		u.mu.Lock()
		current := ok && p.Seq+3 >= u.seq // a late one says little
		u.mu.Unlock()
		if !current {
			return nil
		}
		was := u.good()
		u.trusted.Store(time.Now().Add(UDPTrust).UnixNano())
		if !was {
			u.s.c.log.Debug("relay: UDP passes", "addr", u.s.token.UDP)
			u.ping() // tells the relay
		}
	}
	return nil
}
