package tunnel

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/tun"

	"nexd/internal/leak"
	"nexd/mesh"
	"nexd/tunnel/underlay"
)

// nullTUN is a TUN interface with nothing on it.
type nullTUN struct {
	events chan tun.Event
	closed chan struct{}
}

func newNullTUN() tun.Device { return &nullTUN{make(chan tun.Event), make(chan struct{})} }

func (n *nullTUN) File() *os.File                          { return nil }
func (n *nullTUN) Read([][]byte, []int, int) (int, error)  { <-n.closed; return 0, os.ErrClosed }
func (n *nullTUN) Write(bufs [][]byte, _ int) (int, error) { return len(bufs), nil }
func (n *nullTUN) MTU() (int, error)                       { return 1420, nil }
func (n *nullTUN) Name() (string, error)                   { return "null", nil }
func (n *nullTUN) Events() <-chan tun.Event                { return n.events }
func (n *nullTUN) Close() error                            { close(n.closed); close(n.events); return nil }
func (n *nullTUN) BatchSize() int                          { return 1 }

// keyBind is a bind on which nothing comes or goes.
type keyBind struct{ conn.Bind }

func (keyBind) ParseEndpoint(s string) (conn.Endpoint, error) {
	if _, err := mesh.ParseKey(s); err != nil {
		return nil, err
	}
	return &conn.StdNetEndpoint{AddrPort: netip.MustParseAddrPort("192.0.2.1:9")}, nil
}
func (keyBind) Send([][]byte, conn.Endpoint) error { return nil }

func newTestTunnel(t testing.TB) *Tunnel {
	t.Helper()
	priv, err := mesh.NewPrivateKey()
	if err != nil {
		t.Fatal(err)
	}
	tn, err := New(Config{PrivateKey: priv, Device: newNullTUN(), Bind: keyBind{conn.NewStdNetBind()}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(tn.Close)
	return tn
}

func key(i byte) mesh.Key { return mesh.Key{i, 9: 1} }

func peer(i byte, prefixes ...string) Peer {
	p := Peer{Key: key(i)}
	for _, s := range prefixes {
		p.AllowedIPs = append(p.AllowedIPs, netip.MustParsePrefix(s))
	}
	return p
}

// has is the device's state as text.
func (t *Tunnel) has(tb testing.TB) string {
	tb.Helper()
	state, err := t.state()
	if err != nil {
		tb.Fatal(err)
	}
	var lines []string
	for k, p := range state {
		var prefixes []string
		for _, prefix := range p.allowed {
			prefixes = append(prefixes, prefix.String())
		}
		slices.Sort(prefixes)
		lines = append(lines, fmt.Sprintf("%d %v %d", k[0], prefixes, p.keepalive))
	}
	slices.Sort(lines)
	return strings.Join(lines, "; ")
}

func TestSetPeersMakesItSo(t *testing.T) {
	leak.Check(t)
	tn := newTestTunnel(t)
	kept := peer(1, "10.0.0.1/32", "fd00::1/128")
	for _, tt := range []struct {
		name string
		set  []Peer
		want string
	}{
		{"none", nil, ""},
		{"one", []Peer{kept}, "1 [10.0.0.1/32 fd00::1/128] 0"},
		{"the same", []Peer{kept}, "1 [10.0.0.1/32 fd00::1/128] 0"},
		{"two", []Peer{kept, peer(2, "10.0.0.2/32", "172.24.0.0/24")}, "1 [10.0.0.1/32 fd00::1/128] 0; 2 [10.0.0.2/32 172.24.0.0/24] 0"},
		{"a prefix moves", []Peer{peer(1, "10.0.0.1/32", "172.24.0.0/24"), peer(2, "10.0.0.2/32")}, "1 [10.0.0.1/32 172.24.0.0/24] 0; 2 [10.0.0.2/32] 0"},
		{"and back, and prefixes change places", []Peer{peer(1, "10.0.0.2/32"), peer(2, "10.0.0.1/32", "172.24.0.0/24")}, "1 [10.0.0.2/32] 0; 2 [10.0.0.1/32 172.24.0.0/24] 0"},
		{"a prefix inside another's", []Peer{peer(1, "172.24.0.0/16"), peer(2, "172.24.0.0/24")}, "1 [172.24.0.0/16] 0; 2 [172.24.0.0/24] 0"},
		{"host bits", []Peer{{Key: key(1), AllowedIPs: []netip.Prefix{netip.MustParsePrefix("10.1.2.3/8")}}}, "1 [10.0.0.0/8] 0"},
		{"keepalive", []Peer{{Key: key(1), Keepalive: 1500 * time.Millisecond}}, "1 [] 2"},
		{"keepalive off", []Peer{{Key: key(1)}}, "1 [] 0"},
		{"another in its place", []Peer{peer(3, "0.0.0.0/0", "::/0")}, "3 [0.0.0.0/0 ::/0] 0"},
		{"none again", nil, ""},
	} {
		if err := tn.SetPeers(tt.set); err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		if got := tn.has(t); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestSetPeersRefusesNonsenseAsAWhole(t *testing.T) {
	tn := newTestTunnel(t)
	good := peer(1, "10.0.0.1/32")
	if err := tn.SetPeers([]Peer{good}); err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string][]Peer{
		"no key":             {good, {}},
		"our key":            {good, {Key: tn.key}},
		"twice":              {good, good},
		"prefix twice":       {good, peer(2, "10.0.0.1/32")},
		"prefix invalid":     {good, {Key: key(2), AllowedIPs: []netip.Prefix{{}}}},
		"prefix mapped":      {good, peer(2, "::ffff:10.0.0.0/120")},
		"keepalive negative": {good, {Key: key(2), Keepalive: -1}},
		"keepalive too long": {good, {Key: key(2), Keepalive: 24 * time.Hour}},
	} {
		if err := tn.SetPeers(bad); mesh.KindOf(err) != mesh.Invalid {
			t.Errorf("%s: %v", name, err)
		}
		if got := tn.has(t); got != "1 [10.0.0.1/32] 0" {
			t.Errorf("%s: state is now %q", name, got)
		}
	}
}

func TestNothingChangedIsNothingSaid(t *testing.T) {
	w, err := check([]Peer{peer(1, "10.0.0.1/32"), {Key: key(2), Keepalive: time.Second}}, mesh.Key{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	have := map[mesh.Key]*peerState{}
	for i, n := range w.list {
		n.spec = w.specs[i]
		have[n.key] = &peerState{allowed: n.allowed, keepalive: n.keepalive}
	}
	if text := changes(have, w.nodes); text != "" {
		t.Errorf("says %q", text)
	}
}

func TestAThousandPeers(t *testing.T) {
	leak.Check(t)
	tn := newTestTunnel(t)
	var peers []Peer
	for i := range 1000 {
		p := peer(byte(i), fmt.Sprintf("10.%d.%d.1/32", i/256, i%256))
		p.Key[1] = byte(i / 256)
		peers = append(peers, p)
	}
	for _, n := range []int{1000, 999, 0} {
		if err := tn.SetPeers(peers[:n]); err != nil {
			t.Fatal(err)
		}
		if got, err := tn.Peers(); err != nil || len(got) != n {
			t.Fatalf("%d peers, %v; want %d", len(got), err, n)
		}
	}
}

func TestParseState(t *testing.T) {
	k := key(7)
	text := "private_key=00\nlisten_port=1\npublic_key=" + k.Hex() + "\nprotocol_version=1\nlast_handshake_time_sec=5\nlast_handshake_time_nsec=7\n" +
		"tx_bytes=3\nrx_bytes=4\npersistent_keepalive_interval=25\nallowed_ip=10.0.0.0/8\nnew_in_a_later_version=x\n"
	peers, err := parseState(text)
	if err != nil {
		t.Fatal(err)
	}
	p := peers[k]
	want := PeerStatus{Key: k, LastHandshake: time.Unix(5, 7), Rx: 4, Tx: 3}
	if p == nil || p.status != want || p.keepalive != 25 || !slices.Contains(p.allowed, netip.MustParsePrefix("10.0.0.0/8")) {
		t.Errorf("got %+v", p)
	}
	for _, bad := range []string{"public_key=zz\n", "public_key=00\n", "public_key=" + k.Hex() + "\nrx_bytes=x\n", "public_key=" + k.Hex() + "\nallowed_ip=x\n"} {
		if _, err := parseState(bad); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	leak.Check(t)
	priv, _ := mesh.NewPrivateKey()
	for name, cfg := range map[string]Config{
		"no key": {Device: newNullTUN(), Bind: keyBind{}}, "no device": {PrivateKey: priv, Bind: keyBind{}}, "no bind": {PrivateKey: priv, Device: newNullTUN()},
	} {
		if _, err := New(cfg); mesh.KindOf(err) != mesh.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	failing := failingBind{keyBind{conn.NewStdNetBind()}}
	dev := newNullTUN().(*nullTUN)
	if _, err := New(Config{PrivateKey: priv, Device: dev, Bind: failing}); mesh.KindOf(err) != mesh.Conflict || !strings.Contains(err.Error(), "taken") {
		t.Errorf("a bind that does not open: %v, kind %v", err, mesh.KindOf(err))
	}
	select {
	case <-dev.closed:
	default:
		t.Error("the device was not closed")
	}
}

type failingBind struct{ keyBind }

func (failingBind) Open(uint16) ([]conn.ReceiveFunc, uint16, error) {
	return nil, 0, mesh.Errorf(mesh.Conflict, "port 7 is taken")
}

func TestDownAndUpOnOnePort(t *testing.T) {
	leak.Check(t)
	priv, _ := mesh.NewPrivateKey()
	bind, err := underlay.New(underlay.Config{PrivateKey: priv})
	if err != nil {
		t.Fatal(err)
	}
	defer bind.Shutdown()
	tn, err := New(Config{PrivateKey: priv, Device: newNullTUN(), Bind: bind})
	if err != nil {
		t.Fatal(err)
	}
	defer tn.Close()
	if err := tn.SetPeers([]Peer{{Key: key(1), AllowedIPs: peer(1, "10.0.0.1/32").AllowedIPs, Keepalive: time.Hour}}); err != nil {
		t.Fatal(err)
	}
	port := bind.LocalPort()
	for range 3 {
		if err := errors.Join(tn.dev.Down(), tn.dev.Up()); err != nil {
			t.Fatal(err)
		}
	}
	if text, err := tn.dev.IpcGet(); err != nil || !strings.Contains(text, fmt.Sprintf("listen_port=%d\n", port)) {
		t.Errorf("port was %d; the device says %v", port, err)
	}
	if got := tn.has(t); got != "1 [10.0.0.1/32] 3600" {
		t.Errorf("peers %q", got)
	}
}

func TestDoneWhenTheDeviceFails(t *testing.T) {
	leak.Check(t)
	tn := newTestTunnel(t)
	select {
	case <-tn.Done():
		t.Fatal("done too early")
	default:
	}
	tn.Close()
	<-tn.Done()
}
