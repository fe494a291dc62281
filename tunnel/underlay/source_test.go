package underlay

import (
	"log/slog"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"nexd/internal/sealed"
	"nexd/tunnel/disco"
	"nexd/tunnel/udp"
)

// Whatever WireGuard sends to an endpoint leaves from the address at which its packets arrive:
// single packets and runs.
func TestAnswersLeaveFromTheAddressThatWasAsked(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux reports the address")
	}
	for name, open := range kinds {
		for _, asked := range []string{"127.0.0.2", "127.0.0.1", "::1"} {
			t.Run(name+"/"+asked, func(t *testing.T) {
				l, v := newLink(t, open, asked), newVector(udp.BatchSize)
				client, err := net.ListenUDP("udp", nil)
				if err != nil {
					t.Fatal(err)
				}
				defer client.Close()
				client.SetDeadline(time.Now().Add(30 * time.Second))
				at := netip.AddrPortFrom(netip.MustParseAddr(asked), l.to.LocalPort())
				if _, err := client.WriteToUDPAddrPort(l.data(64, 1), at); err != nil {
					t.Fatal(err)
				}
				if _, err := l.fn(v.bufs, v.sizes, v.eps); err != nil {
					t.Fatal(err)
				}
				for _, n := range []int{1, 20} {
					var msgs [][]byte
					for range n {
						msgs = append(msgs, l.data(1000, 7))
					}
					if err := l.to.Send(msgs, v.eps[0]); err != nil {
						t.Fatal(err)
					}
					for range n {
						_, from, err := client.ReadFromUDPAddrPort(make([]byte, 2000))
						if from = netip.AddrPortFrom(from.Addr().Unmap(), from.Port()); err != nil || from != at {
							t.Fatalf("%d at once: a packet came from %v, %v; want %v", n, from, err, at)
						}
					}
				}
			})
		}
	}
}

// twoAddresses are sockets of a host with several addresses. They note the sources of packets.
type twoAddresses struct {
	notes
	routed netip.Addr // what the routes select
	gone   netip.Addr // an address that the host has lost
	from   []string
}

func (s *twoAddresses) Route(netip.AddrPort) netip.Addr { return s.routed }

func (s *twoAddresses) SendFrom(_ [][]byte, _ netip.AddrPort, source netip.Addr, _ bool) (r udp.Refused, err error) {
	r.Source = source.IsValid() && source == s.gone
	switch {
	case !source.IsValid(), r.Source:
		s.from = append(s.from, "route")
	default:
		s.from = append(s.from, source.String())
	}
	return r, nil
}

// left returns the sources of the packets since the last call.
func (s *twoAddresses) left() (from []string) { from, s.from = s.from, nil; return from }

var first, second = netip.MustParseAddr("198.51.100.10"), netip.MustParseAddr("198.51.100.20")

// sourceWorld is a bind on a host with two addresses, and a peer that is at here.
func sourceWorld(t *testing.T) (s *twoAddresses, b *Bind, p *peer, arrive func(at netip.Addr) *endpoint) {
	t.Helper()
	s = &twoAddresses{routed: first}
	b, err := newBind(Config{PrivateKey: newKey(t)}, func(uint16, *slog.Logger) (sockets, error) { return s, nil })
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := b.Open(0); err != nil {
		t.Fatal(err)
	}
	key := newKey(t).Public()
	b.SetPeers([]Peer{{Key: key}})
	p = b.peer(key)
	b.indices.record(p, 9, b.now())
	return s, b, p, func(at netip.Addr) *endpoint {
		var m memo
		m.arriving(at)
		return b.attribute(message(sealed.Data, 64, 9), here, b.now(), &m)
	}
}

func TestTheSourceFollowsTheLastAuthenticatedPacket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, b, p, arrive := sourceWorld(t)
		send := func(e *endpoint, want string) {
			t.Helper()
			if err := b.Send([][]byte{message(sealed.Data, 64, 9)}, e); err != nil {
				t.Fatal(err)
			}
			if from := s.left(); len(from) == 0 || from[0] != want {
				t.Errorf("sent from %v, want %s", from, want)
			}
		}
		send(arrive(netip.Addr{}), "route") // not reported
		e := arrive(first)
		send(e, "route") // the same address, which nobody needs to set
		if arrive(first) != e {
			t.Error("each packet makes an endpoint")
		}
		other := arrive(second)
		send(e, "route") // WireGuard has not authenticated the other packet
		send(other, second.String())
		if arrive(second) != other {
			t.Error("each packet makes an endpoint")
		}
		if got := p.sources.heardFrom(here); got != b.now() {
			t.Errorf("heard at %d", got)
		}

		s.gone = second // until the network changes
		send(other, "route")
		s.gone = netip.Addr{}
		send(other, "route")
		b.NetworkChanged()
		send(other, "route") // packets that were under way show nothing
		time.Sleep(time.Duration(settling))
		send(arrive(second), second.String())
		b.NetworkChanged() // of something else
		send(other, second.String())
		s.routed = netip.MustParseAddr("203.0.113.5")
		b.NetworkChanged()
		send(other, "route")
	})
}

// A host that leaves a network keeps its address there for a while: its packets follow the routes.
func TestTheSourceDoesNotHoldAHostBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, b, _, arrive := sourceWorld(t)
		e := arrive(first)
		b.Send([][]byte{message(sealed.Data, 64, 9)}, e)
		s.routed = second
		b.NetworkChanged()
		b.Send([][]byte{message(sealed.Data, 64, 9)}, arrive(first))
		if from := s.left(); slices.ContainsFunc(from, func(f string) bool { return f != "route" }) {
			t.Errorf("sent from %v", from)
		}
	})
}

// Probes and initiations to an address that is silent leave from each address in turn.
func TestASilentAddressIsAskedFromBoth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, b, p, arrive := sourceWorld(t)
		b.Send([][]byte{message(sealed.Data, 64, 9)}, arrive(second))
		s.left()
		socks := b.net.socks.Load()
		for range 3 {
			b.sendOne(socks, p, []byte{1}, here)
		}
		if from := s.left(); !slices.Equal(from, []string{second.String(), second.String(), second.String()}) {
			t.Errorf("while packets come, sent from %v", from)
		}
		time.Sleep(time.Duration(sureFor) + 1)
		for range 4 {
			b.sendOne(socks, p, []byte{1}, here)
		}
		from := s.left()
		slices.Sort(from)
		if !slices.Equal(from, []string{second.String(), second.String(), "route", "route"}) {
			t.Errorf("after a silence sent from %v", from)
		}
		b.sendOne(socks, p, []byte{1}, netip.MustParseAddrPort("203.0.113.9:1"))
		if from := s.left(); !slices.Equal(from, []string{"route"}) {
			t.Errorf("to an address without history sent from %v", from)
		}
	})
}

// A pong leaves from the address that was probed, and a probe decides about other packets only where
// none show the address.
func TestAPongLeavesFromTheAddressThatWasAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, b, p, _ := sourceWorld(t)
		peerKey := newKey(t)
		b.SetPeers([]Peer{{Key: p.key}, {Key: peerKey.Public()}})
		q := b.peer(peerKey.Public())
		pair, err := disco.NewPair(peerKey, b.key)
		if err != nil {
			t.Fatal(err)
		}
		stamp := uint64(time.Now().UnixMicro())
		ping := func(at netip.Addr) []string {
			stamp++
			b.fromDisco(pair.Seal(disco.Message{Kind: disco.Ping, Tx: disco.TxID(newTxID()), Time: stamp}), here, at, nil, b.now())
			return s.left()
		}
		if from := ping(second); len(from) == 0 || slices.ContainsFunc(from, func(f string) bool { return f != second.String() }) {
			t.Errorf("answered from %v", from)
		}
		if from := ping(first); len(from) == 0 || from[0] != "route" && from[0] != first.String() {
			t.Errorf("answered from %v", from)
		}
		if e := q.sources.known(here); e.origin.at != second {
			t.Errorf("packets would leave from %v", e.origin.at)
		}
		time.Sleep(time.Duration(sureFor) + 1)
		ping(first)
		if e := q.sources.known(here); e.origin.at != first {
			t.Errorf("after a silence packets would leave from %v", e.origin.at)
		}
	})
}

// Forged packets may claim to come from a peer to any address of this host.
func TestForgedPacketsDoNotMoveTheSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, b, p, arrive := sourceWorld(t)
		e := arrive(first)
		b.Send([][]byte{message(sealed.Data, 64, 9)}, e)
		for i := range 1000 {
			arrive(netip.AddrFrom4([4]byte{198, 51, byte(i >> 8), byte(i)}))
		}
		if n := len(p.sources.all()); n > 4 {
			t.Errorf("%d endpoints of one address", n)
		}
		b.sendOne(b.net.socks.Load(), p, []byte{1}, here)
		if from := s.left(); slices.ContainsFunc(from, func(f string) bool { return f != "route" }) {
			t.Errorf("sent from %v", from)
		}
	})
}
