package relay_test

import (
	"bytes"
	"fmt"
	"testing"

	"nexd/internal/sealed"
	"nexd/mesh"
	"nexd/relay"
)

func TestFramesComeOutAsTheyWentIn(t *testing.T) {
	var b []byte
	b = relay.AppendFrame(b, relay.TypePing, []byte("12345678"))
	b = relay.AppendData(b, mesh.Key{7}, []byte("sealed"))
	b = relay.AppendBye(b, relay.ByeStopping, "soon")
	var seen []string
	err := relay.EachFrame(b, func(ty relay.Type, body []byte) error {
		switch ty {
		case relay.TypeData:
			from, p, err := relay.ParseData(body)
			seen = append(seen, fmt.Sprintf("data %d %s %v", from[0], p, err))
		case relay.TypeBye:
			r, text := relay.ParseBye(body)
			seen = append(seen, fmt.Sprint("bye ", r, " ", text))
		default:
			seen = append(seen, fmt.Sprintf("%d %s", ty, body))
		}
		return nil
	})
	if got := fmt.Sprint(seen); err != nil || got != "[5 12345678 data 7 sealed <nil> bye stopping soon]" {
		t.Errorf("%s, %v", got, err)
	}
}

func TestBrokenFramesAreRefused(t *testing.T) {
	good := relay.AppendData(nil, mesh.Key{7}, []byte("sealed"))
	long := relay.AppendFrame(nil, relay.TypeData, make([]byte, relay.MaxFrame-relay.HeaderSize+1))
	for name, b := range map[string][]byte{
		"header cut": good[:3], "body cut": good[:len(good)-1], "another version": append([]byte{2}, good[1:]...), "oversized": long,
	} {
		if _, _, _, err := relay.NextFrame(b); mesh.KindOf(err) != mesh.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, _, err := relay.ParseData(make([]byte, mesh.KeySize)); err == nil {
		t.Error("data without a packet was taken")
	}
	if r, _ := relay.ParseBye(nil); r != 0 {
		t.Errorf("empty goodbye: %v", r)
	}
	if _, err := relay.ParseAuth(make([]byte, 64)); err == nil {
		t.Error("auth without a token was taken")
	}
}

func FuzzFrames(f *testing.F) {
	f.Add(relay.AppendData(relay.AppendFrame(nil, relay.TypePing, []byte("12345678")), mesh.Key{7}, []byte("sealed")))
	f.Add(relay.AppendAuth(nil, relay.Auth{Token: "nxr_x"}))
	f.Add(relay.AppendBye(nil, relay.ByeDenied, "no"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var again []byte
		err := relay.EachFrame(b, func(ty relay.Type, body []byte) error {
			if len(body) > relay.MaxFrame-relay.HeaderSize {
				t.Fatalf("a body of %d bytes", len(body))
			}
			relay.ParseData(body)
			relay.ParseAuth(body)
			relay.ParseBye(body)
			relay.ClassOf(body)
			again = relay.AppendFrame(again, ty, body)
			return nil
		})
		if err == nil && !bytes.Equal(again, b) {
			t.Errorf("%x became %x", b, again)
		}
	})
}

func TestClassOf(t *testing.T) {
	msg := func(kind byte, size int) []byte { b := make([]byte, size); b[0] = kind; return b }
	probe := append([]byte(sealed.CallMagic), make([]byte, 60)...)
	for _, tt := range []struct {
		name string
		p    []byte
		want relay.Class
	}{
		{"initiation", msg(1, 148), relay.Handshake}, {"response", msg(2, 92), relay.Handshake}, {"cookie", msg(3, 64), relay.Handshake},
		{"keepalive", msg(4, 32), relay.Data}, {"data", msg(4, 1456), relay.Data}, {"probe", probe, relay.Handshake},
		{"initiation of another length", msg(1, 149), relay.NotSealed}, {"data of no whole blocks", msg(4, 450), relay.NotSealed}, {"a full packet", msg(4, 1420+32), relay.Data},
		{"reserved bytes", append([]byte{4, 1}, make([]byte, 30)...), relay.NotSealed}, {"probe cut", probe[:50], relay.NotSealed},
		{"nothing", nil, relay.NotSealed}, {"text", []byte("GET / HTTP/1.1\r\nHost: somewhere\r\n\r\n"), relay.NotSealed},
		{"too long", msg(4, 9232), relay.NotSealed},
	} {
		if got := relay.ClassOf(tt.p); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestBothSidesComeToTheSameSecrets(t *testing.T) {
	node, _ := mesh.NewPrivateKey()
	own, _ := mesh.NewPrivateKey()
	a, err := relay.NodeSecrets(node, own.Public(), "token")
	if err != nil {
		t.Fatal(err)
	}
	b, err := relay.RelaySecrets(own, node.Public(), "token")
	if err != nil || a != b || !a.Proof.Equal(b.Proof) {
		t.Errorf("%v; equal %v", err, a == b)
	}
	if a.ToNode == a.ToRelay {
		t.Error("one key for both directions")
	}
	other, _ := mesh.NewPrivateKey()
	for name, s := range map[string]func() (relay.Shared, error){
		"another node":       func() (relay.Shared, error) { return relay.RelaySecrets(own, other.Public(), "token") },
		"another connection": func() (relay.Shared, error) { return relay.RelaySecrets(other, node.Public(), "token") },
		"another token":      func() (relay.Shared, error) { return relay.RelaySecrets(own, node.Public(), "tokem") },
	} {
		if c, err := s(); err != nil || c.Proof.Equal(a.Proof) {
			t.Errorf("%s: the same proof, or %v", name, err)
		}
	}
	if _, err := relay.NodeSecrets(node, mesh.Key{1}, "token"); err == nil {
		t.Error("a low-order key was taken")
	}
}
