package tunnel_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"sync"
	"testing"
	"time"

	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/tun"

	"nexd/mesh"
	"nexd/tunnel"
	"nexd/tunnel/filter"
	"nexd/tunnel/underlay"
)

// chanTUN is a TUN interface made of two channels.
type chanTUN struct {
	out, in chan []byte // to the mesh, from the mesh
	closed  chan struct{}
	events  chan tun.Event
	once    sync.Once
}

func newChanTUN() *chanTUN {
	return &chanTUN{out: make(chan []byte, 1024), in: make(chan []byte, 4096), closed: make(chan struct{}), events: make(chan tun.Event)}
}

func (c *chanTUN) Read(bufs [][]byte, sizes []int, offset int) (n int, err error) {
	select {
	case p := <-c.out:
		sizes[0] = copy(bufs[0][offset:], p)
	case <-c.closed:
		return 0, os.ErrClosed
	}
	for n = 1; n < len(bufs); n++ {
		select {
		case p := <-c.out:
			sizes[n] = copy(bufs[n][offset:], p)
		default:
			return n, nil
		}
	}
	return n, nil
}

func (c *chanTUN) Write(bufs [][]byte, offset int) (int, error) {
	for i, b := range bufs {
		select {
		case c.in <- append([]byte(nil), b[offset:]...):
		case <-c.closed:
			return i, os.ErrClosed
		}
	}
	return len(bufs), nil
}

func (c *chanTUN) File() *os.File           { return nil }
func (c *chanTUN) MTU() (int, error)        { return 1420, nil }
func (c *chanTUN) Name() (string, error)    { return "chan", nil }
func (c *chanTUN) Events() <-chan tun.Event { return c.events }
func (c *chanTUN) BatchSize() int           { return 128 }
func (c *chanTUN) Close() error {
	c.once.Do(func() { close(c.closed); close(c.events) })
	return nil
}

// packet is an IPv4 or IPv6 packet with a number and size bytes of payload.
func packet(src, dst netip.Addr, seq uint32, size int) []byte {
	head := 20
	if src.Is6() {
		head = 40
	}
	p := make([]byte, head+max(size, 4))
	if src.Is4() {
		p[0], p[8], p[9] = 0x45, 64, 253
		binary.BigEndian.PutUint16(p[2:], uint16(len(p)))
		copy(p[12:], src.AsSlice())
		copy(p[16:], dst.AsSlice())
	} else {
		p[0], p[6], p[7] = 0x60, 253, 64
		binary.BigEndian.PutUint16(p[4:], uint16(len(p)-40))
		copy(p[8:], src.AsSlice())
		copy(p[24:], dst.AsSlice())
	}
	binary.BigEndian.PutUint32(p[head:], seq)
	for i := head + 4; i < len(p); i++ {
		p[i] = byte(seq) + byte(i)
	}
	return p
}

func seqOf(p []byte) uint32 {
	if p[0]>>4 == 4 {
		return binary.BigEndian.Uint32(p[20:])
	}
	return binary.BigEndian.Uint32(p[40:])
}

// node is a whole node but for the stack above.
type node struct {
	t    testing.TB
	name string
	priv mesh.PrivateKey
	key  mesh.Key
	v4   netip.Addr
	v6   netip.Addr

	idle time.Duration // of the tunnel; 0 = default
	bind *underlay.Bind
	tun  *chanTUN
	filt *filter.Filter
	tunl *tunnel.Tunnel
	seq  uint32
	end  func() // ends all that start began

	known map[*node][]netip.AddrPort // as know was told
}

func identity(t testing.TB, i int) *node {
	priv, err := mesh.NewPrivateKey()
	if err != nil {
		t.Fatal(err)
	}
	return &node{
		t: t, name: fmt.Sprintf("n%d", i), priv: priv, key: priv.Public(),
		v4: netip.AddrFrom4([4]byte{100, 64, 0, byte(i)}), v6: netip.MustParseAddr(fmt.Sprintf("fd00::%d", i)),
	}
}

// start makes a node, on a given port or on any (0).
func (n *node) start(port uint16, edit ...func(*underlay.Config)) *node {
	n.t.Helper()
	cfg := underlay.Config{PrivateKey: n.priv, ListenPort: port, Logger: logger(n.t, n.name)}
	for _, e := range edit {
		e(&cfg)
	}
	var err error
	if n.bind, err = underlay.New(cfg); err != nil {
		n.t.Fatal(err)
	}
	n.tun = newChanTUN()
	n.filt = filter.New(n.tun, nil)
	n.filt.Set([]netip.Prefix{mesh.HostPrefix(n.v4), mesh.HostPrefix(n.v6)})
	n.tunl, err = tunnel.New(tunnel.Config{PrivateKey: n.priv, Device: n.filt, Bind: n.bind, Idle: n.idle, Logger: logger(n.t, n.name)})
	if err != nil {
		n.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- n.bind.Run(ctx) }()
	n.end = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			n.t.Error(err)
		}
		n.tunl.Close()
		n.bind.Shutdown()
	})
	n.t.Cleanup(n.stop)
	return n
}

// newNode is an identity, started on any port.
func newNode(t testing.TB, i int) *node {
	t.Helper()
	return identity(t, i).start(0)
}

func (n *node) stop() { n.end() }

// know makes the peers of n exactly these, each with its candidates.
func (n *node) know(peers map[*node][]netip.AddrPort) {
	n.t.Helper()
	n.known = peers
	var u []underlay.Peer
	var w []tunnel.Peer
	for p, candidates := range peers {
		u = append(u, underlay.Peer{Key: p.key, Candidates: candidates})
		w = append(w, tunnel.Peer{Key: p.key, AllowedIPs: []netip.Prefix{mesh.HostPrefix(p.v4), mesh.HostPrefix(p.v6)}})
	}
	n.bind.SetPeers(u)
	if err := n.tunl.SetPeers(w); err != nil {
		n.t.Fatal(err)
	}
}

func (n *node) at(ip string) netip.AddrPort {
	return netip.AddrPortFrom(netip.MustParseAddr(ip), n.bind.LocalPort())
}

// introduce makes two nodes know each other on loopback.
func introduce(a, b *node) {
	a.know(map[*node][]netip.AddrPort{b: {b.at("127.0.0.1")}})
	b.know(map[*node][]netip.AddrPort{a: {a.at("127.0.0.1")}})
}

// send sends one packet and returns its number.
func (n *node) send(to *node) uint32 {
	n.seq++
	n.tun.out <- packet(n.v4, to.v4, n.seq, 64)
	return n.seq
}

// mustGet waits until n gets the packet numbered seq.
func (n *node) mustGet(seq uint32, limit time.Duration) {
	n.t.Helper()
	if !n.get(seq, limit) {
		n.t.Fatalf("%s: packet %d did not come within %v; underlay %+v", n.name, seq, limit, n.bind.Stats())
	}
}

// get waits until n gets the packet numbered seq; false: it did not come.
func (n *node) get(seq uint32, limit time.Duration) bool {
	deadline := time.After(limit)
	for {
		select {
		case p := <-n.tun.in:
			if seqOf(p) == seq {
				return true
			}
		case <-deadline:
			return false
		}
	}
}

// mustTalk passes a packet each way.
func mustTalk(a, b *node, limit time.Duration) {
	a.t.Helper()
	b.mustGet(a.send(b), limit)
	a.mustGet(b.send(a), limit)
}

// mustTalkAgain passes packets each way until both arrive. After a peer has moved, packets
// to it are lost until it answers the first probe.
func mustTalkAgain(a, b *node, limit time.Duration) {
	a.t.Helper()
	const roundTrip = 100 * time.Millisecond
	for deadline := time.Now().Add(limit); !b.get(a.send(b), roundTrip) || !a.get(b.send(a), roundTrip); {
		if time.Now().After(deadline) {
			a.t.Fatalf("no packets both ways within %v; underlay %+v", limit, a.bind.Stats())
		}
	}
}

// logger writes to the test's log when NEXD_TEST_LOG is set.
func logger(t testing.TB, name string) *slog.Logger {
	if os.Getenv("NEXD_TEST_LOG") == "" {
		return nil
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug})).With("node", name)
}

// stock is a plain wireguard-go device with its own bind.
type stock struct {
	*node
	dev  *device.Device
	port uint16
}

func newStock(t testing.TB, i int) *stock {
	t.Helper()
	s := &stock{node: identity(t, i)}
	s.tun = newChanTUN()
	s.dev = device.NewDevice(s.tun, conn.NewDefaultBind(), device.NewLogger(device.LogLevelSilent, ""))
	s.port = freePort(t)
	if err := s.dev.IpcSet(fmt.Sprintf("private_key=%s\nlisten_port=%d\n", s.priv.Hex(), s.port)); err != nil {
		t.Fatal(err)
	}
	if err := s.dev.Up(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.dev.Close)
	return s
}

func (s *stock) know(p *node, at netip.AddrPort) {
	s.t.Helper()
	text := fmt.Sprintf("public_key=%s\nallowed_ip=%v/32\nallowed_ip=%v/128\n", p.key.Hex(), p.v4, p.v6)
	if at.IsValid() {
		text += fmt.Sprintf("endpoint=%v\n", at)
	}
	if err := s.dev.IpcSet(text); err != nil {
		s.t.Fatal(err)
	}
}

func freePort(t testing.TB) uint16 {
	t.Helper()
	c, err := net.ListenUDP("udp", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return uint16(c.LocalAddr().(*net.UDPAddr).Port)
}
