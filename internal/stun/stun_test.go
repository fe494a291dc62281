package stun_test

import (
	"bytes"
	"encoding/hex"
	"net/netip"
	"strings"
	"testing"

	"nexd/internal/stun"
)

var (
	seen4 = netip.MustParseAddrPort("192.0.2.1:32853")
	seen6 = netip.MustParseAddrPort("[2001:db8:1234:5678:11:2233:4455:6677]:32853")
)

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.NewReplacer(" ", "", "\n", "", "\t", "").Replace(s))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestResponsesOfRFC5769AreRead(t *testing.T) {
	// Sections 2.2 and 2.3 without MESSAGE-INTEGRITY, which is for sessions with a
	// password; header lengths changed to fit.
	for want, text := range map[netip.AddrPort]string{
		seen4: `0101001c 2112a442 b7e7a701bc34d686fa87dfae
			8022000b 7465737420766563746f7220
			00200008 0001a147e112a643`,
		seen6: `01010028 2112a442 b7e7a701bc34d686fa87dfae
			8022000b 7465737420766563746f7220
			00200014 0002a147 0113a9faa5d3f179bc25f4b5bed2b9d9`,
	} {
		r, err := stun.ParseResponse(unhex(t, text))
		if err != nil || r.Mapped != want || r.ID[0] != 0xb7 {
			t.Errorf("response = %+v, %v; want %v", r, err, want)
		}
	}
}

func TestRequestOfRFC5769IsRead(t *testing.T) {
	// Section 2.1 up to its USERNAME, which has to be understood: not by us.
	b := unhex(t, `0001002c 2112a442 b7e7a701bc34d686fa87dfae
		80220010 5354554e207465737420636c69656e74
		00240004 6e0001ff 80290008 932ff9b151263b36`)
	b[3] = byte(len(b) - stun.HeaderSize)
	if _, err := stun.ParseRequest(b); err == nil {
		t.Error("a request with PRIORITY was taken")
	}
}

func TestRoundTrip(t *testing.T) {
	for _, seen := range []netip.AddrPort{seen4, seen6, netip.MustParseAddrPort("[::ffff:192.0.2.9]:1")} {
		for _, fp := range []bool{false, true} {
			id := stun.NewTxID()
			b := stun.Response{ID: id, Mapped: seen}.Append([]byte("before"), fp)[6:]
			r, err := stun.ParseResponse(b)
			want := netip.AddrPortFrom(seen.Addr().Unmap(), seen.Port())
			if err != nil || r.ID != id || r.Mapped != want || len(b) > stun.MaxResponse || !stun.Is(b) {
				t.Errorf("%v: %+v, %v in %d bytes", seen, r, err, len(b))
			}
			if fp {
				b[len(b)-1] ^= 1
				if _, err := stun.ParseResponse(b); err == nil {
					t.Errorf("%v: a wrong fingerprint was taken", seen)
				}
			}
		}
	}
}

func TestRequestIsAsLongAsItsAnswer(t *testing.T) {
	id := stun.NewTxID()
	req := stun.AppendRequest(nil, id)
	if r, err := stun.ParseRequest(req); err != nil || r.ID != id || r.Fingerprint {
		t.Errorf("request = %+v, %v", r, err)
	}
	for _, fp := range []bool{false, true} {
		if n := len(stun.Response{ID: id, Mapped: seen6}.Append(nil, fp)); n > len(req) {
			t.Errorf("an answer of %d bytes to a request of %d (fingerprint %v)", n, len(req), fp)
		}
	}
	if len(req) != stun.RequestSize {
		t.Errorf("request of %d bytes, RequestSize %d", len(req), stun.RequestSize)
	}
}

func TestTransactionsAreRandom(t *testing.T) {
	if a, b := stun.NewTxID(), stun.NewTxID(); a == b || a == (stun.TxID{}) {
		t.Errorf("transactions %x and %x", a, b)
	}
}

func TestForeignBytesAreRefused(t *testing.T) {
	id := stun.NewTxID()
	good := stun.Response{ID: id, Mapped: seen4}.Append(nil, false)
	change := func(at int, to byte) []byte { b := bytes.Clone(good); b[at] = to; return b }
	noAddr := append(bytes.Clone(good[:3]), 0)
	noAddr = append(noAddr, good[4:20]...)
	for name, b := range map[string][]byte{
		"nothing":           nil,
		"cut":               good[:len(good)-4],
		"longer":            append(bytes.Clone(good), 0, 0, 0, 0),
		"no cookie":         change(4, 0),
		"a request":         change(0, 0),
		"an error response": change(1, 0x11),
		"top bits":          change(0, 0x41),
		"attribute too big": change(23, 200),
		"family":            change(25, 7),
		"unknown attribute": change(21, 0x7f),
		"no address":        noAddr,
		"WireGuard":         append([]byte{1, 0, 0, 0}, make([]byte, 144)...),
	} {
		if r, err := stun.ParseResponse(b); err == nil {
			t.Errorf("%s: taken as %+v", name, r)
		}
	}
	if _, err := stun.ParseResponse(stun.Response{ID: id, Mapped: netip.MustParseAddrPort("224.0.0.1:5")}.Append(nil, false)); err == nil {
		t.Error("a multicast address was taken")
	}
	if _, err := stun.ParseResponse(stun.Response{ID: id, Mapped: netip.MustParseAddrPort("192.0.2.1:0")}.Append(nil, false)); err == nil {
		t.Error("port 0 was taken")
	}
}

func FuzzParse(f *testing.F) {
	f.Add(stun.AppendRequest(nil, stun.TxID{1}))
	f.Add(stun.Response{ID: stun.TxID{1}, Mapped: seen4}.Append(nil, true))
	f.Add(stun.Response{ID: stun.TxID{1}, Mapped: seen6}.Append(nil, false))
	f.Add(stun.AppendProbe(nil, stun.TxID{1}, stun.Asked|stun.ChangePort, 400))
	f.Add(stun.Response{ID: stun.TxID{1}, Mapped: seen4, Other: seen4}.Append(nil, true))
	f.Fuzz(func(t *testing.T, b []byte) {
		if r, err := stun.ParseRequest(b); err == nil && !stun.Is(b) {
			t.Errorf("request %+v of what is no STUN", r)
		}
		r, err := stun.ParseResponse(b)
		if err != nil {
			return
		}
		again, err := stun.ParseResponse(r.Append(nil, true))
		if err != nil || again != r {
			t.Errorf("%+v became %+v, %v", r, again, err)
		}
	})
}
