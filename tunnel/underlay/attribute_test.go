package underlay

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/blake2s"
	"golang.org/x/time/rate"
	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/tun"

	"nexd/internal/eventually"
	"nexd/internal/sealed"
	"nexd/mesh"
)

// mute is a bind that keeps what WireGuard sends.
type mute struct {
	sent   chan []byte
	closed chan struct{}
	once   *sync.Once
}

func (m *mute) Open(uint16) ([]conn.ReceiveFunc, uint16, error) {
	m.closed, m.once = make(chan struct{}), new(sync.Once)
	return []conn.ReceiveFunc{func([][]byte, []int, []conn.Endpoint) (int, error) {
		<-m.closed
		return 0, net.ErrClosed
	}}, 1, nil
}

func (m *mute) Close() error {
	if m.once != nil {
		m.once.Do(func() { close(m.closed) })
	}
	return nil
}
func (m *mute) SetMark(uint32) error { return nil }
func (m *mute) BatchSize() int       { return 1 }
func (m *mute) ParseEndpoint(s string) (conn.Endpoint, error) {
	return &conn.StdNetEndpoint{AddrPort: netip.MustParseAddrPort(s)}, nil
}
func (m *mute) Send(bufs [][]byte, _ conn.Endpoint) error {
	for _, b := range bufs {
		m.sent <- append([]byte(nil), b...)
	}
	return nil
}

// nullTUN is a TUN interface with nothing on it.
type nullTUN struct {
	events chan tun.Event
	closed chan struct{}
}

func (n nullTUN) File() *os.File                          { return nil }
func (n nullTUN) Read([][]byte, []int, int) (int, error)  { <-n.closed; return 0, os.ErrClosed }
func (n nullTUN) Write(bufs [][]byte, _ int) (int, error) { return len(bufs), nil }
func (n nullTUN) MTU() (int, error)                       { return 1420, nil }
func (n nullTUN) Name() (string, error)                   { return "null", nil }
func (n nullTUN) Events() <-chan tun.Event                { return n.events }
func (n nullTUN) Close() error                            { close(n.closed); close(n.events); return nil }
func (n nullTUN) BatchSize() int                          { return 1 }

// initiation is a message 1 as wireguard-go makes it.
func initiation(t testing.TB, from mesh.PrivateKey, to mesh.Key) []byte {
	t.Helper()
	m := &mute{sent: make(chan []byte, 1)}
	dev := device.NewDevice(nullTUN{make(chan tun.Event), make(chan struct{})}, m, device.NewLogger(device.LogLevelSilent, ""))
	defer dev.Close()
	if err := dev.IpcSet(fmt.Sprintf("private_key=%s\npublic_key=%s\nendpoint=192.0.2.1:1\n", from.Hex(), to.Hex())); err != nil {
		t.Fatal(err)
	}
	if err := dev.Up(); err != nil {
		t.Fatal(err)
	}
	if err := dev.LookupPeer(device.NoisePublicKey(to)).SendHandshakeInitiation(false); err != nil {
		t.Fatal(err)
	}
	return <-m.sent
}

// laterInitiation is an initiation to b whose time is later than that of another one:
// WireGuard's clock has steps of 16.8 ms.
func laterInitiation(t testing.TB, from mesh.PrivateKey, to *Bind, than []byte) (msg []byte) {
	t.Helper()
	secret, err := to.private.SharedSecret(from.Public())
	if err != nil {
		t.Fatal(err)
	}
	timeOf := func(msg []byte) stamp {
		m, _ := to.handshakes.opener.open(msg)
		at, ok := m.time(msg, &secret)
		if !ok {
			t.Fatal("an initiation does not open")
		}
		return at
	}
	first := timeOf(than)
	eventually.True(t, "a later time", func() bool {
		msg = initiation(t, from, to.key)
		at := timeOf(msg)
		return bytes.Compare(at[:], first[:]) > 0
	})
	return msg
}

func TestInitiationsOfWireGuardAreOpened(t *testing.T) {
	for range 4 {
		us, them := newKey(t), newKey(t)
		o, err := newOpener(us)
		if err != nil {
			t.Fatal(err)
		}
		msg := initiation(t, them, us.Public())
		if sealed.Type(msg) != sealed.Initiation || !o.checkMAC1(msg) {
			t.Fatal("mac1 does not hold")
		}
		m, ok := o.open(msg)
		if !ok || m.key != them.Public() {
			t.Errorf("opened %v, %v; want %v", m.key, ok, them.Public())
		}
		secret, err := us.SharedSecret(them.Public())
		if err != nil {
			t.Fatal(err)
		}
		at, ok := m.time(msg, &secret)
		if sec := int64(binary.BigEndian.Uint64(at[:])) - 1<<62 - 10; !ok || sec < time.Now().Unix()-60 || sec > time.Now().Unix() {
			t.Errorf("its time is %x, %v", at, ok)
		}
		forged, err := newKey(t).SharedSecret(them.Public())
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := m.time(msg, &forged); ok {
			t.Error("the time opened without the sender's key")
		}
		for i := range sealed.InitiationSize - 16 {
			bad := append([]byte(nil), msg...)
			bad[i] ^= 1
			if o.checkMAC1(bad) {
				t.Fatalf("mac1 holds with byte %d changed", i)
			}
			m, ok := o.open(bad)
			if ok && i >= 8 && i < staticEnd {
				t.Fatalf("opened with byte %d changed", i)
			}
			if _, ok := m.time(bad, &secret); ok && i >= 8 && i < initiationHead {
				t.Fatalf("the time opened with byte %d changed", i)
			}
		}
		other, _ := newOpener(newKey(t))
		if other.checkMAC1(msg) {
			t.Error("mac1 holds for another receiver")
		}
		if _, ok := other.open(msg); ok {
			t.Error("another receiver can open it")
		}
	}
}

// offline is a bind whose socket is never opened.
func offline(t testing.TB, edit ...func(*Config)) *Bind {
	t.Helper()
	cfg := Config{PrivateKey: newKey(t)}
	for _, e := range edit {
		e(&cfg)
	}
	b, err := newBind(cfg, openUDP)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

var here = netip.MustParseAddrPort("192.0.2.7:51820")

func (b *Bind) ask1(msg []byte, src netip.AddrPort) *endpoint {
	var m memo
	return b.attribute(msg, src, b.now(), &m)
}

func TestInitiationsAreAttributedByKey(t *testing.T) {
	b := offline(t)
	friend, stranger := newKey(t), newKey(t)
	b.SetPeers([]Peer{{Key: friend.Public()}})

	msg := initiation(t, friend, b.key)
	e := b.ask1(msg, here)
	if e == nil || e.key != friend.Public() || e.addr != here {
		t.Fatalf("attributed to %+v", e)
	}
	for range 3 { // one more for every candidate it was sent to
		if e := b.ask1(msg, netip.MustParseAddrPort("192.0.2.8:1")); e != nil {
			t.Errorf("a copy was attributed to %v", e.key)
		}
	}
	if e := b.ask1(initiation(t, stranger, b.key), here); e != nil {
		t.Errorf("a stranger was attributed to %v", e.key)
	}
	if e := b.ask1(initiation(t, friend, stranger.Public()), here); e != nil {
		t.Error("a message for another was attributed")
	}
	b.SetPeers(nil)
	if e := b.ask1(initiation(t, friend, b.key), here); e != nil {
		t.Error("a removed peer was attributed")
	}
	if s := b.Stats(); s.UnknownKey != 2 || s.BadMAC != 1 || s.Duplicates != 3 {
		t.Errorf("stats %+v", s)
	}
}

// A node whose clock went back cannot begin a session, so the other side has to.
func TestAnInitiationOfThePastMakesUsBegin(t *testing.T) {
	var told []mesh.Key
	b := offline(t, func(c *Config) { c.OnStray = func(k mesh.Key) { told = append(told, k) } })
	friend := newKey(t)
	b.SetPeers([]Peer{{Key: friend.Public()}})
	past := initiation(t, friend, b.key)
	if b.ask1(laterInitiation(t, friend, b, past), here) == nil {
		t.Fatal("a good initiation was refused")
	}
	if b.ask1(past, here) != nil || len(told) != 1 || told[0] != friend.Public() {
		t.Errorf("told of %v", told)
	}
}

// A flood of initiations is not opened on the receiving goroutine, but a true one
// in it is still attributed once WireGuard answers it.
func TestInitiationsBeyondTheLimitAreOpenedWhenAnswered(t *testing.T) {
	l := newLink(t, openUDP, "127.0.0.1")
	l.from.handshakes.openings = rate.NewLimiter(0, 0)
	msg := initiation(t, newKeyOf(t, l), l.from.key)
	e := l.from.ask1(msg, here)
	if e == nil || l.from.Stats().Deferred != 1 {
		t.Fatalf("endpoint %+v, stats %+v", e, l.from.Stats())
	}
	if p := l.from.owner(e); p == nil || p.key != l.from.lastPeer() {
		t.Errorf("owner %+v", p)
	}
	response := make([]byte, sealed.ResponseSize)
	response[0] = sealed.Response
	binary.LittleEndian.PutUint32(response[4:], 4242)
	if err := l.from.Send([][]byte{response}, e); err != nil {
		t.Fatal(err)
	}
	if entry, ok := l.from.indices.lookup(4242, l.from.now()); !ok || entry.p.key != l.from.lastPeer() {
		t.Error("the session of the answer is not known")
	}
	if st, _ := l.from.Path(l.from.lastPeer()); st.Addr != here {
		t.Errorf("path %v", st.Addr)
	}
}

// newKeyOf adds a peer with a new key to the sending side of l.
func newKeyOf(t *testing.T, l *link) mesh.PrivateKey {
	k := newKey(t)
	l.from.SetPeers([]Peer{{Key: k.Public()}})
	return k
}

func (b *Bind) lastPeer() (k mesh.Key) {
	for key := range b.peers.m {
		k = key
	}
	return k
}

func message(t byte, size int, index uint32) []byte {
	msg := make([]byte, size)
	msg[0] = t
	at := 4
	if t == sealed.Response {
		at = 8
	}
	binary.LittleEndian.PutUint32(msg[at:], index)
	return msg
}

// signed puts the mac1 of somebody who knows b's key into a response.
func (b *Bind) signed(msg []byte) []byte {
	at := len(msg) - 32
	mac, _ := blake2s.New128(b.handshakes.opener.mac1[:])
	mac.Write(msg[:at])
	copy(msg[at:], mac.Sum(nil))
	return msg
}

func TestAnswersAndDataAreAttributedByIndex(t *testing.T) {
	b := offline(t)
	k1, k2 := mesh.Key{1}, mesh.Key{2}
	b.SetPeers([]Peer{{Key: k1}, {Key: k2}})
	b.indices.record(b.peer(k1), 11, b.now())
	b.indices.record(b.peer(k2), 22, b.now())
	for _, tt := range []struct {
		name string
		msg  []byte
		want mesh.Key
	}{
		{"response", b.signed(message(2, sealed.ResponseSize, 11)), k1},
		{"its copy", b.signed(message(2, sealed.ResponseSize, 11)), mesh.Key{}},
		{"forged response", message(2, sealed.ResponseSize, 22), mesh.Key{}},
		{"cookie", message(3, sealed.CookieSize, 22), k2},
		{"data", message(4, 1452, 22), k2},
		{"keepalive", message(4, 32, 11), k1},
		{"unknown index", message(4, 64, 33), mesh.Key{}},
		{"short data", message(4, 31, 11), mesh.Key{}},
		{"long response", message(2, sealed.ResponseSize+1, 11), mesh.Key{}},
		{"short cookie", message(3, sealed.CookieSize-1, 11), mesh.Key{}},
		{"unknown type", message(5, 64, 11), mesh.Key{}},
		{"reserved bytes", append([]byte{4, 1}, message(4, 64, 11)[2:]...), mesh.Key{}},
		{"empty", nil, mesh.Key{}},
	} {
		e := b.ask1(tt.msg, here)
		switch {
		case tt.want.IsZero() && e != nil:
			t.Errorf("%s: attributed to %v", tt.name, e.key)
		case !tt.want.IsZero() && (e == nil || e.key != tt.want || e.addr != here):
			t.Errorf("%s: %+v", tt.name, e)
		}
	}
	if b.peer(k1).rtt.Load() <= 0 {
		t.Error("no round trip time after a response")
	}
	// One source address may be shared: the index decides.
	var m memo
	for i, want := range []mesh.Key{k1, k2, k1, k1} {
		index := uint32(11)
		if want == k2 {
			index = 22
		}
		if e := b.attribute(message(4, 64, index), here, b.now(), &m); e.key != want {
			t.Errorf("packet %d: %v", i, e.key)
		}
	}
}

func TestIndicesExpireAndAreBounded(t *testing.T) {
	var table indexTable
	table.init()
	p, q := &peer{key: mesh.Key{1}}, &peer{key: mesh.Key{2}}
	table.record(p, 1, 0)
	if _, ok := table.lookup(1, indexLife); !ok {
		t.Error("gone too early")
	}
	if _, ok := table.lookup(1, indexLife+1); ok {
		t.Error("there too long")
	}
	table.record(p, 2, indexLife+1)
	if len(table.m) != 1 || len(p.indices) != 1 {
		t.Errorf("an expired index takes room: %v", table.m)
	}
	for i := range uint32(1000) {
		table.record(p, 100+i, indexLife+2)
	}
	if len(table.m) != indicesKept || len(p.indices) != indicesKept {
		t.Errorf("%d indices kept", len(table.m))
	}
	if _, ok := table.lookup(1099, indexLife+2); !ok {
		t.Error("the newest is gone")
	}
	// An index that moved to another peer is not deleted with its old one.
	table.record(q, 1099, indexLife+3)
	table.forget(p)
	if e, ok := table.lookup(1099, indexLife+3); !ok || e.p != q || len(table.m) != 1 {
		t.Errorf("after forget: %v", table.m)
	}
	p.removed.Store(true)
	table.record(p, 5, indexLife+4)
	if len(table.m) != 1 {
		t.Error("a removed peer got an index")
	}
}

func TestEndpointsAreCachedAndBounded(t *testing.T) {
	p := &peer{key: mesh.Key{1}}
	path := p.endpoint(here, netip.Addr{})
	p.sources.current.Store(path)
	if p.endpoint(here, netip.Addr{}) != path {
		t.Error("not cached")
	}
	for i := range 1000 {
		p.endpoint(netip.AddrPortFrom(here.Addr(), uint16(i+1)), netip.Addr{})
	}
	if len(p.sources.m) > sourcesKept {
		t.Errorf("%d sources", len(p.sources.m))
	}
	if p.endpoint(here, netip.Addr{}) != path {
		t.Error("forged sources have driven out the path")
	}
}

func TestStrayDataIsReportedOnceInAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var stray []mesh.Key
		b := offline(t, func(c *Config) { c.OnStray = func(k mesh.Key) { stray = append(stray, k) } })
		b.SetPeers([]Peer{{Key: mesh.Key{1}, Candidates: []netip.AddrPort{here}}})
		elsewhere := netip.MustParseAddrPort("192.0.2.8:51820")
		for range 3 {
			b.ask1(message(4, 64, 5), here)
			b.ask1(message(4, 64, 5), elsewhere)
			b.ask1(message(2, sealed.ResponseSize, 5), here)
		}
		if len(stray) != 1 || stray[0] != (mesh.Key{1}) {
			t.Fatalf("reported %v", stray)
		}
		time.Sleep(6 * time.Second)
		if b.ask1(message(4, 64, 5), here); len(stray) != 2 {
			t.Errorf("reported %d times after a while", len(stray))
		}
	})
}

// FuzzAttribute: whatever comes, nothing breaks, and nobody is attributed who did
// not have the index or the key.
func FuzzAttribute(f *testing.F) {
	us := newKey(f)
	friend := newKey(f)
	b, err := newBind(Config{PrivateKey: us}, openUDP)
	if err != nil {
		f.Fatal(err)
	}
	b.SetPeers([]Peer{{Key: friend.Public()}})
	b.indices.record(b.peer(friend.Public()), 11, b.now())
	b.handshakes.openings = rate.NewLimiter(rate.Inf, 0)
	f.Add(initiation(f, friend, us.Public()))
	f.Add(message(2, sealed.ResponseSize, 11))
	f.Add(message(3, sealed.CookieSize, 11))
	f.Add(message(4, 100, 11))
	f.Add([]byte{1})
	f.Fuzz(func(t *testing.T, msg []byte) {
		e := b.ask1(msg, here)
		if e == nil {
			return
		}
		switch sealed.Type(msg) {
		case sealed.Initiation:
			if m, ok := b.handshakes.opener.open(msg); !ok || m.key != friend.Public() {
				t.Fatal("an initiation that does not open was attributed")
			}
		default:
			if receiverIndex(sealed.Type(msg), msg) != 11 {
				t.Fatal("attributed without an index")
			}
		}
	})
}
