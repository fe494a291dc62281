package underlay

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"nexd/internal/sealed"
	"nexd/mesh"
	"nexd/tunnel/disco"
	"nexd/tunnel/paths"
	"nexd/tunnel/udp"
)

// notes is a socket that sends nothing and notes what it should have sent, and a
// relay that does the same.
type notes struct {
	mu   sync.Mutex // guards what follows
	list []string
	fail bool // as a relay
}

func (n *notes) note(packet []byte, to string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	what := "initiation"
	switch hint, ok := disco.HintOf(packet); {
	case disco.Is(packet):
		what = "call"
	case ok && hint != disco.Hint{}: // message leaves zeros there
		what = "probe"
	}
	n.list = append(n.list, what+" "+to)
}

func (n *notes) take() (list []string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	list, n.list = n.list, nil
	slices.Sort(list)
	return list
}

func (n *notes) Port() uint16                 { return 7 }
func (n *notes) Readers() (v4, v6 udp.Reader) { return nil, nil }
func (n *notes) SetMark(uint32) error         { return nil }

func (n *notes) SendFrom(bufs [][]byte, dst netip.AddrPort, _ netip.Addr, _ bool) (r udp.Refused, err error) {
	n.note(bufs[0], dst.String())
	return r, nil
}

func (n *notes) Route(netip.AddrPort) (a netip.Addr) { return a }

func (n *notes) SendHops(packet []byte, dst netip.AddrPort, hops int) error {
	n.note(packet, fmt.Sprintf("%v over %d", dst, hops))
	return nil
}

func (n *notes) Close() error { return nil }

// relayNotes are the notes as a relay.
type relayNotes struct{ *notes }

func (n relayNotes) Send(_ mesh.Key, packets ...[]byte) error {
	if n.fail {
		return mesh.Errorf(mesh.Unavailable, "no")
	}
	n.note(packets[0], "relay")
	return nil
}

// An initiation does not reach a NAT before the probes that are made not to.
func TestAnInitiationWaitsForTheNATs(t *testing.T) {
	const lan, wan = "192.168.1.5:1", "203.0.113.7:2"
	late := []string{"call relay", "initiation " + wan, "probe " + lan, "probe " + wan} // the lan has got one
	for _, tt := range []struct {
		name         string
		up, fail     bool
		called       bool
		first, later []string
	}{
		{"with a relay", true, false, false, []string{"call relay", "initiation " + lan, "initiation relay", "probe " + lan, "probe " + wan + " over 3"}, late},
		{"the peer calls", true, false, true, []string{"call relay", "initiation " + lan, "initiation relay", "probe " + lan, "probe " + wan + " over 3"}, []string{"call relay", "initiation " + wan, "probe " + wan}}, // the call is a report
		{"the relay takes nothing", true, true, false, []string{"initiation " + lan, "initiation " + wan, "probe " + lan, "probe " + wan + " over 3"}, []string{"probe " + lan, "probe " + wan}},
		{"no relay", false, false, false, []string{"initiation " + lan, "initiation " + wan, "probe " + lan, "probe " + wan}, []string{"probe " + lan, "probe " + wan}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := &notes{fail: tt.fail}
				b, err := newBind(Config{PrivateKey: newKey(t), Relay: relayNotes{n}}, func(uint16, *slog.Logger) (sockets, error) { return n, nil })
				if err != nil {
					t.Fatal(err)
				}
				key := newKey(t).Public()
				candidates := []netip.AddrPort{netip.MustParseAddrPort(lan), netip.MustParseAddrPort(wan)}
				b.SetPeers([]Peer{{Key: key, Candidates: candidates}})
				if _, _, err := b.Open(0); err != nil {
					t.Fatal(err)
				}
				b.RelayUp(tt.up)
				ctx, cancel := context.WithCancel(t.Context())
				ended := make(chan error)
				go func() { ended <- b.Run(ctx) }()
				synctest.Wait()

				if err := b.Send([][]byte{message(sealed.Initiation, sealed.InitiationSize, 5)}, &endpoint{key: key}); err != nil {
					t.Fatal(err)
				}
				if got := n.take(); !slices.Equal(got, tt.first) {
					t.Errorf("at once %q, want %q", got, tt.first)
				}
				if tt.called {
					b.step(b.peer(key), func(p *paths.Peer, now time.Duration) []paths.Action { return p.Call(now, candidates) })
				} else {
					time.Sleep(310 * time.Millisecond)
					synctest.Wait()
				}
				if got := n.take(); !slices.Equal(got, tt.later) {
					t.Errorf("then %q, want %q", got, tt.later)
				}
				cancel()
				if err := <-ended; err != nil {
					t.Error(err)
				}
				b.Close()
			})
		})
	}
}
