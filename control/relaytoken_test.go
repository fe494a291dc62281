package control_test

import (
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"nexd/control"
	"nexd/mesh"
)

func relayKey(t *testing.T, fill byte) []byte {
	t.Helper()
	secret := make([]byte, 32)
	secret[0] = fill
	key, err := control.RelayKey(secret)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestRelayTokenSaysWhatWasSigned(t *testing.T) {
	now := time.Unix(1_800_000_000, 0).UTC()
	key := relayKey(t, 1)
	want := control.RelayClaims{Org: "o_lab", Node: mesh.Key{9}, Expires: now.Add(time.Hour)}
	text := control.SignRelayToken(key, want)
	got, err := control.VerifyRelayToken(key, text, now)
	if err != nil || got != want {
		t.Errorf("%+v, %v; want %+v", got, err, want)
	}
	if _, err := control.VerifyRelayToken(key, text, now.Add(time.Hour)); mesh.KindOf(err) != mesh.Denied {
		t.Errorf("after its end: %v", err)
	}
	if _, err := control.VerifyRelayToken(relayKey(t, 2), text, now); mesh.KindOf(err) != mesh.Denied {
		t.Errorf("of another service: %v", err)
	}
	if _, err := control.RelayKey([]byte("short")); err == nil {
		t.Error("a short secret was taken")
	}
}

func TestEveryBitOfARelayTokenCounts(t *testing.T) {
	now := time.Unix(1_800_000_000, 0).UTC()
	key := relayKey(t, 1)
	text := control.SignRelayToken(key, control.RelayClaims{Org: "o_lab", Node: mesh.Key{9}, Expires: now.Add(time.Hour)})
	raw, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(text, "nxr_"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range raw {
		raw[i] ^= 1
		if c, err := control.VerifyRelayToken(key, "nxr_"+base64.RawURLEncoding.EncodeToString(raw), now); err == nil {
			t.Errorf("byte %d changed: taken as %+v", i, c)
		}
		raw[i] ^= 1
	}
	for _, text := range []string{"", "nxr_", "nxs_" + text[4:], text[:len(text)-4], text + "AAAA", strings.Repeat("x", 1<<20)} {
		if _, err := control.VerifyRelayToken(key, text, now); mesh.KindOf(err) != mesh.Denied {
			t.Errorf("%.40q: %v", text, err)
		}
	}
}

func FuzzVerifyRelayToken(f *testing.F) {
	key, _ := control.RelayKey(make([]byte, 32))
	now := time.Unix(1_800_000_000, 0)
	f.Add(control.SignRelayToken(key, control.RelayClaims{Org: "o", Expires: now.Add(time.Hour)}))
	f.Fuzz(func(t *testing.T, text string) {
		if c, err := control.VerifyRelayToken(key, text, now); err == nil && control.SignRelayToken(key, c) != text {
			t.Errorf("%q is not how %+v is written", text, c)
		}
	})
}
