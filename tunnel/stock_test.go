package tunnel_test

import (
	"net/netip"
	"testing"
	"time"

	"nexd/internal/eventually"
	"nexd/internal/leak"
)

func TestStockWireGuardIsAPeer(t *testing.T) {
	leak.Check(t)
	for _, tt := range []struct {
		name       string
		ip         string
		weInitiate bool
	}{{"we begin, IPv4", "127.0.0.1", true}, {"they begin, IPv4", "127.0.0.1", false}, {"we begin, IPv6", "::1", true}, {"they begin, IPv6", "::1", false}} {
		t.Run(tt.name, func(t *testing.T) {
			a, s := newNode(t, 1), newStock(t, 2)
			ip := netip.MustParseAddr(tt.ip)
			if tt.weInitiate {
				s.know(a, netip.AddrPort{})
				a.know(map[*node][]netip.AddrPort{s.node: {netip.AddrPortFrom(ip, s.port)}})
				s.mustGetStock(a.send(s.node))
			} else {
				s.know(a, a.at(tt.ip))
				a.know(map[*node][]netip.AddrPort{s.node: nil})
				a.mustGet(s.send(a), soon)
			}
			for range 300 {
				s.mustGetStock(a.send(s.node))
				a.mustGet(s.send(a), soon)
			}
			if st, _ := a.bind.Path(s.key); st.Addr != netip.AddrPortFrom(ip, s.port) || st.LastHeard.IsZero() {
				t.Errorf("path %+v", st)
			}
		})
	}
}

// A new handshake replaces the session without a packet lost.
func TestRekeyWithStockWireGuard(t *testing.T) {
	if testing.Short() {
		t.Skip("WireGuard makes no two initiations within 5 s")
	}
	leak.Check(t)
	a, s := newNode(t, 1), newStock(t, 2)
	s.know(a, netip.AddrPort{})
	a.know(map[*node][]netip.AddrPort{s.node: {netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), s.port)}})
	s.mustGetStock(a.send(s.node))
	first := lastHandshake(a)
	eventually.True(t, "a second handshake", func() bool {
		a.tunl.Initiate(s.key)
		s.mustGetStock(a.send(s.node))
		a.mustGet(s.send(a), soon)
		return lastHandshake(a).After(first)
	})
	for range 100 {
		s.mustGetStock(a.send(s.node))
		a.mustGet(s.send(a), soon)
	}
}

func lastHandshake(n *node) time.Time {
	peers, err := n.tunl.Peers()
	if err != nil || len(peers) != 1 {
		n.t.Fatalf("Peers = %v, %v", peers, err)
	}
	return peers[0].LastHandshake
}

// mustGetStock is mustGet for a node without our bind.
func (s *stock) mustGetStock(seq uint32) {
	s.t.Helper()
	deadline := time.After(soon)
	for {
		select {
		case p := <-s.tun.in:
			if seqOf(p) == seq {
				return
			}
		case <-deadline:
			s.t.Fatalf("packet %d did not come", seq)
		}
	}
}
