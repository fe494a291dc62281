package main

import (
	"bytes"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"nexd/control"
	"nexd/internal/program"
	"nexd/mesh"
	"nexd/service/people"
	"nexd/service/store"
)

func TestSecretFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "key")
	if err := os.WriteFile(path, []byte("old"), 0o644); err != nil {
		t.Fatal(err)
	}
	f, err := newSecretFile(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := readFile(t, path); got != "old" {
		t.Errorf("before it is written: %q", got)
	}
	if err := f.write("secret"); err != nil {
		t.Fatal(err)
	}
	f.discard()
	info, err := os.Stat(path)
	if err != nil || readFile(t, path) != "secret\n" || info.Mode().Perm() != 0o600 {
		t.Errorf("written: %q, %v, %v", readFile(t, path), info.Mode(), err)
	}
	f, err = newSecretFile(filepath.Join(dir, "other"), nil)
	if err != nil {
		t.Fatal(err)
	}
	f.discard()
	if left, _ := os.ReadDir(dir); len(left) != 1 {
		t.Errorf("a discarded file leaves %v", left)
	}
	var out bytes.Buffer
	f, err = newSecretFile("-", &out)
	if err != nil || f.write("secret") != nil || out.String() != "secret\n" {
		t.Errorf("standard output: %q, %v", out.String(), err)
	}
	f.discard()
	f, err = newSecretFile("", &out)
	if err != nil || f.write("x") != nil || strings.Contains(out.String(), "x") {
		t.Errorf("no file: %v", err)
	}
	if f, err = newSecretFile(os.DevNull, nil); err != nil || f.write("x") != nil {
		t.Errorf("a device: %v", err)
	} else {
		f.discard()
	}
	if info, err := os.Stat(os.DevNull); err != nil || info.Mode().IsRegular() {
		t.Fatalf("the device was replaced: %v, %v", info.Mode(), err)
	}
}

func TestReadPassword(t *testing.T) {
	path := filepath.Join(t.TempDir(), "p")
	for in, want := range map[string]string{"secret": "secret", "secret\n": "secret", "secret\r\n": "secret", "two words \nmore\n": "two words ", "": ""} {
		if err := os.WriteFile(path, []byte(in), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := readPassword(path, nil); err != nil || got != want {
			t.Errorf("file %q gives %q, %v", in, got, err)
		}
		if got, err := readPassword("-", strings.NewReader(in)); err != nil || got != want {
			t.Errorf("standard input %q gives %q, %v", in, got, err)
		}
	}
	if _, err := readPassword("-", strings.NewReader(strings.Repeat("x", 1<<20))); err == nil {
		t.Error("a huge file is taken for a password")
	}
}

func TestJoinURLOfAService(t *testing.T) {
	pin := control.Pin{1}
	at := netip.MustParseAddrPort("192.0.2.5:8443")
	parse := func(s string) *control.JoinURL {
		u, err := parsePublicURL(s)
		if err != nil {
			t.Fatal(err)
		}
		return u
	}
	for _, tt := range []struct {
		name  string
		serve serveCmd
		meta  string
		at    netip.AddrPort
		pin   control.Pin
		want  string
	}{
		{"own key", serveCmd{}, "", at, pin, "https://192.0.2.5:8443/#pin=" + pin.String()},
		{"plain", serveCmd{HTTP: true}, "", at, control.Pin{}, "http://192.0.2.5:8443/"},
		{"given certificate", serveCmd{}, "", at, control.Pin{}, "https://192.0.2.5:8443/"},
		{"public", serveCmd{public: parse("https://mesh.example.com/x")}, "https://old.example.com", at, pin, "https://mesh.example.com/x/#pin=" + pin.String()},
		{"public of bootstrap", serveCmd{}, "https://mesh.example.com", at, pin, "https://mesh.example.com/#pin=" + pin.String()},
		{"plain behind a TLS proxy", serveCmd{HTTP: true}, "https://mesh.example.com", at, control.Pin{}, "https://mesh.example.com/"},
		{"bootstrap meant plain, served with TLS", serveCmd{}, "http://mesh.example.com", at, pin, "https://192.0.2.5:8443/#pin=" + pin.String()},
		{"IPv4-mapped", serveCmd{}, "", netip.MustParseAddrPort("[::ffff:192.0.2.5]:8443"), control.Pin{}, "https://192.0.2.5:8443/"},
		{"IPv6", serveCmd{}, "", netip.MustParseAddrPort("[2001:db8::1]:8443"), control.Pin{}, "https://[2001:db8::1]:8443/"},
	} {
		if got := tt.serve.joinURL(store.Meta{PublicURL: tt.meta}, tt.at, tt.pin).String(); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}

func TestKeyStates(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	for want, k := range map[string]store.RegistrationKey{
		"usable":  {Reusable: true, Expires: now.Add(time.Second)},
		"used-up": {UsesLeft: 0},
		"expired": {UsesLeft: 1, Expires: now},
		"revoked": {UsesLeft: 1, Revoked: now, Expires: now},
	} {
		if got := people.KeyInfo(k, now).State; got != want {
			t.Errorf("%+v is %s, want %s", k, got, want)
		}
	}
}

func TestShow(t *testing.T) {
	var out bytes.Buffer
	rows := [][]string{{"a", list([]mesh.Key{})}, {"long-name", list([]netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("::/0")})}}
	if err := show(&out, false, nil, "NAME PREFIXES", rows); err != nil {
		t.Fatal(err)
	}
	if want := "NAME       PREFIXES\na          -\nlong-name  10.0.0.0/8,::/0\n"; out.String() != want {
		t.Errorf("table:\n%s", out.String())
	}
	out.Reset()
	if err := show(&out, true, []orgJSON{}, "NAME", nil); err != nil || strings.TrimSpace(out.String()) != "[]" {
		t.Errorf("no rows as JSON: %q, %v", out.String(), err)
	}
	if stamp(time.Time{}) != "-" || program.Dash("") != "-" || program.Dash("x") != "x" || stamp(time.Unix(0, 0)) != "1970-01-01T00:00:00Z" {
		t.Error("cells")
	}
}
