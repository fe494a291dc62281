package underlay

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"testing"

	"golang.zx2c4.com/wireguard/conn"

	"nexd/internal/leak"
	"nexd/internal/sealed"
	"nexd/mesh"
	"nexd/tunnel/udp"
)

func openPortable(port uint16, log *slog.Logger) (sockets, error) {
	s, err := udp.OpenPortable(port, log)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// kinds are the ways to open sockets that every test of the wire goes through.
var kinds = map[string]openFunc{
	"native":   openUDP,
	"portable": openPortable,
}

func newKey(t testing.TB) mesh.PrivateKey {
	t.Helper()
	priv, err := mesh.NewPrivateKey()
	if err != nil {
		t.Fatal(err)
	}
	return priv
}

// newTestBind is New with a chosen way to open sockets.
func newTestBind(t testing.TB, open openFunc, port uint16) *Bind {
	t.Helper()
	b, err := newBind(Config{PrivateKey: newKey(t)}, open)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.net.reserve(port); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Shutdown() })
	return b
}

// link is a bind that sends to another, whose receive functions the test calls.
type link struct {
	from, to *Bind
	fns      []conn.ReceiveFunc
	fn       conn.ReceiveFunc // of the family in use
	ep       conn.Endpoint    // to is there
	index    uint32           // of the session
}

func newLink(t testing.TB, open openFunc, ip string) *link {
	t.Helper()
	l := &link{from: newTestBind(t, open, 0), to: newTestBind(t, open, 0), index: 77}
	if _, _, err := l.from.Open(0); err != nil {
		t.Fatal(err)
	}
	var err error
	if l.fns, _, err = l.to.Open(0); err != nil {
		t.Fatal(err)
	}
	addr := netip.MustParseAddr(ip)
	if l.fn = l.fns[0]; addr.Is6() {
		if l.fn = l.fns[len(l.fns)-1]; len(l.fns) < 2 {
			t.Skip("no IPv6 here")
		}
	}
	l.from.SetPeers([]Peer{{Key: l.to.key}})
	l.to.SetPeers([]Peer{{Key: l.from.key}})
	l.to.indices.record(l.to.peer(l.from.key), l.index, l.to.now())
	l.ep = l.from.peer(l.to.key).endpoint(netip.AddrPortFrom(addr, l.to.LocalPort()), netip.Addr{})
	return l
}

// data is a data message of the link's session.
func (l *link) data(size int, fill byte) []byte {
	msg := make([]byte, max(size, sealed.DataMinSize))
	msg[0] = sealed.Data
	binary.LittleEndian.PutUint32(msg[4:], l.index)
	for i := 8; i < len(msg); i++ {
		msg[i] = fill + byte(i)
	}
	return msg
}

type vector struct {
	bufs  [][]byte
	sizes []int
	eps   []conn.Endpoint
}

func newVector(n int) vector {
	v := vector{make([][]byte, n), make([]int, n), make([]conn.Endpoint, n)}
	for i := range v.bufs {
		v.bufs[i] = make([]byte, maxMessage)
	}
	return v
}

const maxMessage = 1<<16 - 1 // the size of WireGuard's buffers

func TestBindContract(t *testing.T) {
	for name, open := range kinds {
		t.Run(name, func(t *testing.T) {
			leak.Check(t)
			b := newTestBind(t, open, 0)
			if err := b.Close(); err != nil { // as WireGuard does before it opens
				t.Fatal(err)
			}
			port := b.LocalPort()
			for round := range 3 {
				fns, got, err := b.Open(0)
				if err != nil || got != port || len(fns) == 0 {
					t.Fatalf("round %d: Open = %d functions, port %d, %v; want port %d", round, len(fns), got, err, port)
				}
				if _, _, err := b.Open(0); !errors.Is(err, conn.ErrBindAlreadyOpen) {
					t.Errorf("second Open = %v", err)
				}
				ended := make(chan error)
				for _, fn := range fns {
					go func() {
						v := newVector(b.BatchSize())
						_, err := fn(v.bufs, v.sizes, v.eps)
						ended <- err
					}()
				}
				if err := b.Close(); err != nil {
					t.Fatal(err)
				}
				for range fns {
					if err := <-ended; !errors.Is(err, net.ErrClosed) {
						t.Errorf("receive after Close = %v", err)
					}
				}
				v := newVector(b.BatchSize())
				if _, err := fns[0](v.bufs, v.sizes, v.eps); !errors.Is(err, net.ErrClosed) {
					t.Errorf("receive begun after Close = %v", err)
				}
				if err := b.Close(); err != nil {
					t.Errorf("second Close = %v", err)
				}
			}
			if err := b.Send([][]byte{make([]byte, 32)}, &endpoint{}); !errors.Is(err, net.ErrClosed) {
				t.Errorf("Send after Close = %v", err)
			}
			if err := errors.Join(b.Shutdown(), b.Shutdown()); err != nil {
				t.Error(err)
			}
			if _, _, err := b.Open(0); !errors.Is(err, net.ErrClosed) {
				t.Errorf("Open after Shutdown = %v", err)
			}
		})
	}
}

func TestReceiveFunctionsAreNamedByFamily(t *testing.T) {
	b := newTestBind(t, openUDP, 0)
	fns, _, err := b.Open(0)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, fn := range fns {
		names = append(names, fn.PrettyName())
	}
	if got := strings.Join(names, " "); got != "v4 v6" && got != "v4" {
		t.Errorf("names are %q", got)
	}
}

func TestATakenPortIsNamed(t *testing.T) {
	a, err := New(Config{PrivateKey: newKey(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Shutdown()
	a.Close() // before Open: the port stays reserved
	_, err = New(Config{PrivateKey: newKey(t), ListenPort: a.LocalPort()})
	if mesh.KindOf(err) != mesh.Conflict || !strings.Contains(err.Error(), fmt.Sprintf("port %d is taken", a.LocalPort())) {
		t.Errorf("New on a taken port = %v, kind %v", err, mesh.KindOf(err))
	}
	a.Shutdown()
	b, err := New(Config{PrivateKey: newKey(t), ListenPort: a.LocalPort()})
	if err != nil {
		t.Fatalf("New after Shutdown = %v", err)
	}
	b.Shutdown()
}

func TestOpenOnAnotherPortMoves(t *testing.T) {
	b := newTestBind(t, openUDP, 0)
	other := newTestBind(t, openUDP, 0)
	port := other.LocalPort()
	other.Shutdown()
	if _, got, err := b.Open(port); err != nil || got != port || b.LocalPort() != port {
		t.Errorf("Open(%d) = %d, %v; LocalPort %d", port, got, err, b.LocalPort())
	}
}

func TestNewRefuses(t *testing.T) {
	if _, err := New(Config{}); mesh.KindOf(err) != mesh.Invalid {
		t.Errorf("New without key = %v", err)
	}
}

// oneFamily are sockets without one of the families.
type oneFamily struct {
	sockets
	missing string
}

func (s oneFamily) Readers() (v4, v6 udp.Reader) {
	v4, v6 = s.sockets.Readers()
	if s.missing == "udp4" {
		return nil, v6
	}
	return v4, nil
}

var errNoFamily = errors.New("no such family")

func (s oneFamily) SendFrom(bufs [][]byte, dst netip.AddrPort, source netip.Addr, plain bool) (udp.Refused, error) {
	if dst.Addr().Is4() == (s.missing == "udp4") {
		return udp.Refused{}, errNoFamily
	}
	return s.sockets.SendFrom(bufs, dst, source, plain)
}

func TestOneFamilyMayBeMissing(t *testing.T) {
	for _, missing := range []string{"udp4", "udp6"} {
		b := newTestBind(t, func(port uint16, log *slog.Logger) (sockets, error) {
			s, err := openUDP(port, log)
			return oneFamily{s, missing}, err
		}, 0)
		fns, port, err := b.Open(0)
		if err != nil || len(fns) != 1 || port == 0 {
			t.Fatalf("without %s: %d functions, port %d, %v", missing, len(fns), port, err)
		}
		b.SetPeers([]Peer{{Key: mesh.Key{1}}})
		ip := map[string]string{"udp4": "127.0.0.1:9", "udp6": "[::1]:9"}[missing]
		e := b.peer(mesh.Key{1}).endpoint(netip.MustParseAddrPort(ip), netip.Addr{})
		if err := b.Send([][]byte{append([]byte{4}, make([]byte, 40)...)}, e); !errors.Is(err, errNoFamily) {
			t.Errorf("Send to a missing family = %v", err)
		}
	}
}

func TestSendRefusesWhatItCannotDo(t *testing.T) {
	b := newTestBind(t, openUDP, 0)
	if _, _, err := b.Open(0); err != nil {
		t.Fatal(err)
	}
	msg := append([]byte{4}, make([]byte, 40)...)
	if err := b.Send([][]byte{msg}, &conn.StdNetEndpoint{}); !errors.Is(err, conn.ErrWrongEndpointType) {
		t.Errorf("foreign endpoint: %v", err)
	}
	if _, err := b.ParseEndpoint("127.0.0.1:51820"); mesh.KindOf(err) != mesh.Invalid {
		t.Errorf("ParseEndpoint of an address: %v", err)
	}
	ep, err := b.ParseEndpoint(mesh.Key{1}.String())
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Send([][]byte{msg}, ep); mesh.KindOf(err) != mesh.NotFound {
		t.Errorf("unknown peer: %v", err)
	}
	b.SetPeers([]Peer{{Key: mesh.Key{1}}})
	if err := b.Send([][]byte{msg}, ep); !errors.Is(err, ErrNoAddress) || mesh.KindOf(err) != mesh.Unavailable {
		t.Errorf("data without an address: %v", err)
	}
	init := make([]byte, sealed.InitiationSize)
	init[0] = sealed.Initiation
	if err := b.Send([][]byte{init}, ep); !errors.Is(err, ErrNoAddress) {
		t.Errorf("initiation without an address: %v", err)
	}
	if err := b.Send(nil, ep); err != nil {
		t.Errorf("nothing to send: %v", err)
	}
}

func TestEndpointTexts(t *testing.T) {
	e := &endpoint{key: mesh.Key{1}}
	if e.DstToString() != e.key.String() || e.DstToBytes() != nil && len(e.DstToBytes()) > 2 || e.DstIP().IsValid() {
		t.Errorf("without address: %q %v %v", e.DstToString(), e.DstToBytes(), e.DstIP())
	}
	e = &endpoint{addr: netip.MustParseAddrPort("192.0.2.1:5")}
	if e.DstToString() != "192.0.2.1:5" || len(e.DstToBytes()) != 6 || e.DstIP().String() != "192.0.2.1" {
		t.Errorf("with address: %q %v %v", e.DstToString(), e.DstToBytes(), e.DstIP())
	}
	if e.ClearSrc(); e.SrcToString() != "" || e.SrcIP().IsValid() {
		t.Error("a source is claimed")
	}
}
