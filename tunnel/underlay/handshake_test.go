package underlay

import (
	"bytes"
	"crypto/ecdh"
	"encoding/hex"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/crypto/blake2s"
	"golang.org/x/crypto/chacha20poly1305"
	"golang.org/x/time/rate"

	"nexd/internal/sealed"
	"nexd/mesh"
	"nexd/tunnel/disco"
)

// friendly is an offline bind that knows a friend, and the keys of the initiations that
// it authenticated.
func friendly(t testing.TB, answer bool) (b *Bind, friend mesh.PrivateKey, heard *[]mesh.Key) {
	t.Helper()
	b, friend, heard = offline(t), newKey(t), new([]mesh.Key)
	b.SetPeers([]Peer{{Key: friend.Public()}})
	b.OnInitiation(func(k mesh.Key) bool { *heard = append(*heard, k); return answer })
	return b, friend, heard
}

func TestAnInitiationIsAuthenticated(t *testing.T) {
	b, friend, heard := friendly(t, true)
	msg := initiation(t, friend, b.key)
	if e := b.ask1(msg, here); e == nil || len(*heard) != 1 || (*heard)[0] != friend.Public() {
		t.Fatalf("endpoint %+v, authenticated %v", e, *heard)
	}
	if e := b.ask1(initiation(t, newKey(t), b.key), here); e != nil || len(*heard) != 1 {
		t.Errorf("a stranger: endpoint %+v, authenticated %v", e, *heard)
	}
	if e := b.ask1(msg, here); e != nil || len(*heard) != 1 {
		t.Errorf("a copy: endpoint %+v, authenticated %v", e, *heard)
	}
}

func TestARefusedInitiationMayComeAgain(t *testing.T) {
	b, friend, heard := friendly(t, false)
	msg := initiation(t, friend, b.key)
	for range 2 {
		if e := b.ask1(msg, here); e != nil {
			t.Fatalf("endpoint %+v", e)
		}
	}
	if len(*heard) != 2 || b.Stats().UnknownKey != 2 {
		t.Errorf("%d authenticated, stats %+v", len(*heard), b.Stats())
	}
}

// WireGuard knows the last time of a peer only while it has the peer.
func TestOldInitiationsWakeNobody(t *testing.T) {
	b, friend, heard := friendly(t, true)
	first := initiation(t, friend, b.key)
	second := laterInitiation(t, friend, b, first)
	for _, msg := range [][]byte{first, second} {
		if e := b.ask1(msg, here); e == nil {
			t.Fatalf("a good one is refused: %+v", b.Stats())
		}
	}
	b.Forget(friend.Public())
	b.handshakes.seen = handshakeCache{} // as it is some time later
	for _, msg := range [][]byte{first, second} {
		if e := b.ask1(msg, here); e != nil {
			t.Error("an old one is taken")
		}
	}
	if len(*heard) != 2 || b.Stats().Replayed != 2 {
		t.Errorf("%d authenticated, stats %+v", len(*heard), b.Stats())
	}
	if e := b.ask1(laterInitiation(t, friend, b, second), here); e == nil || len(*heard) != 3 {
		t.Errorf("a new one: endpoint %+v, %d authenticated", e, len(*heard))
	}
}

// Times of initiations that WireGuard has answered unseen count as well.
func TestADeferredInitiationIsRemembered(t *testing.T) {
	b, friend, _ := friendly(t, true)
	msg := initiation(t, friend, b.key)
	b.handshakes.openings = rate.NewLimiter(0, 0)
	e := b.ask1(msg, here)
	if e == nil || b.owner(e) == nil {
		t.Fatalf("endpoint %+v", e)
	}
	b.Forget(friend.Public())
	b.handshakes.seen, b.handshakes.openings = handshakeCache{}, rate.NewLimiter(rate.Inf, 0)
	if e := b.ask1(msg, here); e != nil || b.Stats().Replayed != 1 {
		t.Errorf("taken again: %+v, stats %+v", e, b.Stats())
	}
}

// A flood from anywhere does not keep those out who come from where the map says.
func TestAFloodLeavesRoomForKnownAddresses(t *testing.T) {
	b, friend, _ := friendly(t, true)
	known := netip.MustParseAddrPort("192.0.2.77:1")
	b.SetPeers([]Peer{{Key: friend.Public(), Candidates: []netip.AddrPort{known}}})
	b.handshakes.openings = rate.NewLimiter(0, 0)
	if e := b.ask1(initiation(t, friend, b.key), known); e == nil || e.opening != nil {
		t.Errorf("from a known address: %+v", e)
	}
	if e := b.ask1(initiation(t, friend, b.key), here); e == nil || e.opening == nil {
		t.Errorf("from elsewhere: %+v", e)
	}
}

// forge is an initiation in the name of somebody whose private key the forger has
// not: all that it needs is public.
func forge(t testing.TB, name, to mesh.Key) []byte {
	t.Helper()
	raw, err := hex.DecodeString(newKey(t).Hex())
	if err != nil {
		t.Fatal(err)
	}
	ephemeral, err := ecdh.X25519().NewPrivateKey(raw)
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := ecdh.X25519().NewPublicKey(to[:])
	if err != nil {
		t.Fatal(err)
	}
	shared, err := ephemeral.ECDH(theirs)
	if err != nil {
		t.Fatal(err)
	}
	msg := make([]byte, 8, sealed.InitiationSize)
	msg[0] = sealed.Initiation
	msg = append(msg, ephemeral.PublicKey().Bytes()...)
	construction := blake2s.Sum256([]byte(noiseConstruction))
	h := mixHash(mixHash(mixHash(construction, []byte(noiseIdentifier)), to[:]), msg[8:40])
	chain, key := derive(mac(mac(construction[:], msg[8:40]), []byte{1}), shared)
	aead, _ := chacha20poly1305.New(key)
	var nonce [chacha20poly1305.NonceSize]byte
	msg = aead.Seal(msg, nonce[:], name[:], h[:])
	_, key = derive(chain, make([]byte, 32)) // the forger can only guess
	aead, _ = chacha20poly1305.New(key)
	h = mixHash(h, msg[40:staticEnd])
	msg = aead.Seal(msg, nonce[:], bytes.Repeat([]byte{0xff}, stampSize), h[:])
	macKey := blake2s.Sum256(append([]byte(labelMAC1), to[:]...))
	m, _ := blake2s.New128(macKey[:])
	m.Write(msg)
	return append(m.Sum(msg), make([]byte, blake2s.Size128)...)
}

func TestNobodyInitiatesInAnothersName(t *testing.T) {
	b, friend, heard := friendly(t, true)
	msg := forge(t, friend.Public(), b.key)
	if m, ok := b.handshakes.opener.open(msg); !ok || m.key != friend.Public() || !b.handshakes.opener.checkMAC1(msg) {
		t.Fatalf("the forgery is a bad one: %v", ok)
	}
	if e := b.ask1(msg, here); e != nil || len(*heard) != 0 || b.Stats().BadInitiation != 1 {
		t.Errorf("endpoint %+v, %d authenticated, stats %+v", e, len(*heard), b.Stats())
	}
}

func TestForgetGivesBack(t *testing.T) {
	b, friend, _ := friendly(t, true)
	e := b.ask1(initiation(t, friend, b.key), here)
	p := b.peer(friend.Public())
	b.indices.record(p, 7, b.now())
	b.moved(p, e)
	b.prober(p)
	b.probes.watch(p, true)
	b.Forget(friend.Public())
	if _, ok := b.indices.lookup(7, b.now()); ok || len(b.indices.m) != 0 {
		t.Error("its sessions are remembered")
	}
	if p.prober.Load() != nil || p.identity.secret.Load() != nil || p.sources.last.Load() != nil || p.sources.m != nil || !p.way.paths.AtRest() || p.route.Load() != nil || len(b.probes.active)+len(b.probes.awake) != 0 {
		t.Errorf("something is left: %+v", p)
	}
	if st, ok := b.Path(friend.Public()); !ok || st.Addr != here {
		t.Errorf("where it was last is not known any more: %+v", st)
	}
	b.Forget(newKey(t).Public()) // nobody
}

// Disco needs no peer in WireGuard, and nothing is kept for who only claims to be one.
func TestDiscoOfASleepingPeer(t *testing.T) {
	b, friend, heard := friendly(t, true)
	pair, err := disco.NewPair(friend, b.key)
	if err != nil {
		t.Fatal(err)
	}
	p := b.peer(friend.Public())
	ping := pair.Seal(disco.Message{Kind: disco.Ping, Tx: disco.TxID{1}, Time: 1})
	bad := bytes.Clone(ping)
	bad[len(bad)-1] ^= 1
	b.ask1(bad, here)
	if p.prober.Load() != nil || b.Stats().ProbesForged != 1 {
		t.Errorf("a forged probe made a prober; stats %+v", b.Stats())
	}
	b.ask1(ping, here)
	pr := p.prober.Load()
	if pr == nil || b.Stats().Probes != 1 {
		t.Fatalf("stats %+v", b.Stats())
	}
	if len(*heard) != 0 {
		t.Error("a probe made a peer in WireGuard")
	}
	now := time.Duration(b.now())
	if at, ok := b.restIdle(now); !ok || p.prober.Load() == nil || at <= now {
		t.Errorf("ended at once, or never: %v, %v", at, ok)
	}
	if _, ok := b.restIdle(now + 2*awakeLife); ok || p.prober.Load() != nil {
		t.Error("a prober that nothing moves stays for ever")
	}
	b.handshakes.openings, b.handshakes.reserve = rate.NewLimiter(0, 0), rate.NewLimiter(0, 0)
	b.ask1(pair.Seal(disco.Message{Kind: disco.Ping, Tx: disco.TxID{2}, Time: 2}), here)
	if p.prober.Load() != nil || b.Stats().ProbesLimited != 1 {
		t.Errorf("more probers than there is a budget for; stats %+v", b.Stats())
	}
}

// FuzzInitiation changes a true initiation: nothing but the true one is authenticated, whatever
// stands in its last bytes.
func FuzzInitiation(f *testing.F) {
	b, friend, heard := friendly(f, true)
	b.handshakes.openings = rate.NewLimiter(rate.Inf, 0)
	msg := initiation(f, friend, b.key)
	f.Add(msg)
	f.Add(forge(f, friend.Public(), b.key))
	f.Add(msg[:100])
	f.Fuzz(func(t *testing.T, in []byte) {
		*heard = nil
		b.ask1(bytes.Clone(in), here)
		if len(*heard) > 0 && !bytes.Equal(in[:initiationHead], msg[:initiationHead]) {
			t.Fatalf("%x was authenticated", in)
		}
	})
}

func BenchmarkInitiation(b *testing.B) {
	bind, friend, _ := friendly(b, true)
	msg := initiation(b, friend, bind.key)
	bind.handshakes.openings = rate.NewLimiter(rate.Inf, 0)
	p := bind.peer(friend.Public())
	for _, known := range []bool{false, true} {
		name := map[bool]string{false: "first", true: "later"}[known]
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				bind.handshakes.seen, p.identity.latest = handshakeCache{}, stamp{}
				if !known {
					p.identity.secret.Store(nil)
				}
				if bind.ask1(msg, here) == nil {
					b.Fatal(bind.Stats())
				}
			}
		})
	}
}
