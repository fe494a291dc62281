package control_test

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"nexd/control"
	"nexd/mesh"
	"nexd/netmap"
)

var pinA = control.PinOf(&x509.Certificate{RawSubjectPublicKeyInfo: []byte("a")})

func TestParseJoinURL(t *testing.T) {
	pin := pinA.String()
	for _, tt := range []struct{ in, want, err string }{
		{"https://host:8443/#pin=" + pin, "https://host:8443/#pin=" + pin, ""},
		{"https://host:8443#pin=" + strings.ToUpper(pin), "https://host:8443/#pin=" + pin, ""},
		{"https://Mesh.Example.com", "https://mesh.example.com/", ""},
		{"https://host/nexd/", "https://host/nexd/", ""},
		{"https://[2001:db8::1]:8443/", "https://[2001:db8::1]:8443/", ""},
		{"http://127.0.0.1:8080", "http://127.0.0.1:8080/", ""},
		{"HTTPS://host", "https://host/", ""},
		{"host:8443", "", "no scheme"},
		{"host", "", "no scheme"},
		{"", "", "no scheme"},
		{"ftp://host", "", "neither https nor http"},
		{"https://", "", "has no host"},
		{"https:///path", "", "has no host"},
		{"https://user:secret@host", "", "user name"},
		{"https://host/?a=b", "", "query"},
		{"https://host/#hello", "", "fragment"},
		{"https://host/#pin=abc", "", "64 hex"},
		{"https://host/#pin=" + strings.Repeat("0", 64), "", "zeros"},
		{"http://host/#pin=" + pin, "", "plain HTTP"},
		{"https://host:0", "", "port"},
		{"https://host:", "", "port"},
		{"https://host:99999", "", "port"},
		{"https://ho st/", "", ""},
		{"https://host/a/../b", "", "unusual path"},
		{"https://[fe80::1%25eth0]/", "", "host"},
		{"https://host\\evil/", "", ""},
		{"https://host/%2e%2e/", "", ""},
	} {
		got, err := control.ParseJoinURL(tt.in)
		if tt.want != "" && (err != nil || got.String() != tt.want) {
			t.Errorf("ParseJoinURL(%q) = %v, %v; want %s", tt.in, got, err, tt.want)
		}
		if tt.want == "" && (mesh.KindOf(err) != mesh.Invalid || !strings.Contains(err.Error(), tt.err)) {
			t.Errorf("ParseJoinURL(%q) = %v, %v; want an error with %q", tt.in, got, err, tt.err)
		}
	}
}

func TestJoinURLParts(t *testing.T) {
	for in, want := range map[string]string{
		"https://host": "host:443", "http://host": "host:80", "https://host:8443/x": "host:8443", "https://[::1]": "[::1]:443",
	} {
		j, err := control.ParseJoinURL(in)
		if err != nil || j.HostPort() != want {
			t.Errorf("HostPort of %s = %s, %v", in, j.HostPort(), err)
		}
	}
	j, _ := control.ParseJoinURL("https://host/nexd/#pin=" + pinA.String())
	if j.Base() != "https://host/nexd" {
		t.Errorf("Base = %s", j.Base())
	}
	b, err := j.MarshalText()
	var back control.JoinURL
	if err != nil || back.UnmarshalText(b) != nil || back != j {
		t.Errorf("text form does not read back: %v", back)
	}
}

func ExampleJoinURL_WithKey() {
	pin := strings.Repeat("ab", 32)
	key, _ := control.ParseRegKey("nxk_abcdefghijklmnopqrst_" + pin)
	url, _ := control.ParseJoinURL("https://mesh.example.com:8443")
	pinned, err := url.WithKey(key)
	fmt.Println(pinned, err)

	other, _ := control.ParseJoinURL("https://mesh.example.com:8443/#pin=" + strings.Repeat("cd", 32))
	_, err = other.WithKey(key)
	fmt.Println(mesh.KindOf(err), key)
	// Output:
	// https://mesh.example.com:8443/#pin=abababababababababababababababababababababababababababababababab <nil>
	// invalid (registration key)
}

func TestRegKey(t *testing.T) {
	secret := "nxk_" + strings.Repeat("a2", 16)
	full := secret + "_" + pinA.String()
	k, err := control.ParseRegKey(" " + full + "\n")
	if err != nil || k.Secret() != secret || k.Text() != full || k.Pin != pinA || k.IsZero() {
		t.Fatalf("ParseRegKey = %v %v, %v", k.Secret(), k.Pin, err)
	}
	if s := fmt.Sprintf("%v %+v %#v %s", k, k, k, k); strings.Contains(s, "a2a2") {
		t.Errorf("formatting shows the key: %s", s)
	}
	for _, s := range []string{"", "nxk_", "nexd", secret[4:], "nxk_short", full[:len(full)-1], full + "0", secret + "_", secret + "__", secret + "!", strings.ToUpper(full)} {
		_, err := control.ParseRegKey(s)
		if mesh.KindOf(err) != mesh.Invalid {
			t.Errorf("ParseRegKey(%q) = %v", s, err)
		}
		if len(s) > 10 && err != nil && strings.Contains(err.Error(), s) {
			t.Errorf("the error shows the key: %v", err)
		}
	}
	plain, err := control.ParseJoinURL("http://host")
	if err != nil {
		t.Fatal(err)
	}
	if j, err := plain.WithKey(k); err != nil || !j.Pin.IsZero() {
		t.Errorf("plain HTTP with a pinned key: %v, %v", j, err)
	}
}

func TestProblemsCarryKinds(t *testing.T) {
	h := &mesh.Holding{Prefix: netip.MustParsePrefix("10.0.0.0/8"), HolderName: "node1"}
	for k := mesh.Invalid; k <= mesh.Unavailable; k++ {
		in := control.Errorf(k, "why", "x: it is %s", "so\nreally\x1b[31m")
		in.Holding = h
		p := control.ProblemOf(fmt.Errorf("outer: %w", in))
		if p.Status != control.StatusOf(k) || p.Reason != "why" || p.Detail != "outer: x: it is so really[31m" {
			t.Errorf("problem of %v = %+v", k, p)
		}
		out := p.Err("control: url")
		if mesh.KindOf(out) != k || control.ReasonOf(out) != "why" || out.Holding != h {
			t.Errorf("%v came back as %v %v", k, mesh.KindOf(out), out)
		}
	}
	secret := control.ProblemOf(errors.New("password is hunter2"))
	if secret.Status != 500 || strings.Contains(secret.Detail, "hunter2") {
		t.Errorf("an internal error crosses the wire: %+v", secret)
	}
	if p := control.ProblemOf(control.Errorf(mesh.Denied, control.ReasonSession, "x")); p.Status != 401 {
		t.Errorf("ended session is %d", p.Status)
	}
	for _, s := range []string{"", "{}", "null", "[]", `{"kind":7}`, "<html>", `{"title":"Not Found"}`} {
		if p, ok := control.ParseProblem([]byte(s)); ok {
			t.Errorf("ParseProblem(%q) = %+v", s, p)
		}
	}
	if e := (&control.Problem{Kind: "shiny"}).Err("u"); mesh.KindOf(e) != mesh.Internal || e.Error() != "u: shiny" {
		t.Errorf("unknown kind: %v", e)
	}
}

func TestBackoff(t *testing.T) {
	low := control.Backoff{Rand: func() float64 { return 0 }}
	for i, want := range []time.Duration{250, 500, 1000, 2000, 4000, 8000, 15000, 15000, 15000} {
		if got := low.Next(0, nil); got != want*time.Millisecond {
			t.Errorf("wait %d = %v, want %v ms", i, got, want)
		}
	}
	if got := low.Next(2*time.Minute, nil); got != 250*time.Millisecond {
		t.Errorf("after a good connection: %v", got)
	}
	high := control.Backoff{Rand: func() float64 { return 0.999999 }}
	for range 100 {
		if got := high.Next(0, nil); got > 30*time.Second {
			t.Errorf("waits %v", got)
		}
	}
	slow := control.Errorf(mesh.Exhausted, "", "x")
	slow.RetryAfter = time.Minute
	low.Reset()
	if got := low.Next(0, fmt.Errorf("y: %w", slow)); got != time.Minute {
		t.Errorf("Retry-After gives %v", got)
	}
	var zero control.Backoff
	a, b := zero.Next(0, nil), time.Duration(0)
	for range 20 {
		zero.Reset()
		if b = zero.Next(0, nil); b != a {
			return
		}
	}
	t.Error("no jitter")
}

func TestCheckEndpoints(t *testing.T) {
	for s, ok := range map[string]bool{
		"192.0.2.1:1": true, "[2001:db8::1]:65535": true, "127.0.0.1:7": true, "[::1]:7": true, "169.254.1.1:7": true, "[fe80::1]:7": true,
		"192.0.2.1:0": false, "0.0.0.0:1": false, "0.1.2.3:1": false, "[::]:1": false, "224.0.0.1:1": false, "[ff05::1]:1": false,
		"255.255.255.255:1": false, "240.0.0.1:1": false, "[fe80::1%eth0]:1": false, "[::ffff:192.0.2.1]:1": false,
	} {
		err := control.CheckEndpoints([]netip.AddrPort{netip.MustParseAddrPort(s)})
		if (err == nil) != ok {
			t.Errorf("CheckEndpoints(%s) = %v", s, err)
		}
	}
	if control.CheckEndpoints(make([]netip.AddrPort, 1)) == nil || control.CheckEndpoints(make([]netip.AddrPort, 17)) == nil {
		t.Error("an empty endpoint or 17 are taken")
	}
}

func FuzzParseJoinURL(f *testing.F) {
	f.Add("https://host:8443/#pin=" + pinA.String())
	f.Add("http://[::1]:80/x/")
	f.Fuzz(func(t *testing.T, s string) {
		j, err := control.ParseJoinURL(s)
		if err != nil {
			if mesh.KindOf(err) != mesh.Invalid || strings.Contains(err.Error(), "\n") {
				t.Fatalf("%q: %v", s, err)
			}
			return
		}
		back, err := control.ParseJoinURL(j.String())
		if err != nil || back != j {
			t.Fatalf("%q parsed to %v, which reads back as %v, %v", s, j, back, err)
		}
	})
}

func FuzzParseRegKey(f *testing.F) {
	f.Add("nxk_abcdefghijklmnopqrst_" + pinA.String())
	f.Fuzz(func(t *testing.T, s string) {
		k, err := control.ParseRegKey(s)
		if err != nil {
			return
		}
		back, err := control.ParseRegKey(k.Text())
		if err != nil || back != k {
			t.Fatalf("%q does not read back: %v", s, err)
		}
	})
}

func FuzzParseProblem(f *testing.F) {
	f.Add([]byte(`{"kind":"conflict","detail":"x","holding":{"prefix":"10.0.0.0/8"}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, ok := control.ParseProblem(b)
		if !ok {
			return
		}
		if text := p.Err("u").Error(); strings.ContainsAny(text, "\n\r\x1b\x00") || len(text) > 1100 {
			t.Fatalf("unfit for a line: %q", text)
		}
	})
}

func FuzzParseEvent(f *testing.F) {
	f.Add([]byte(`{"type":"map","map":{"epoch":"e","rev":1,"self":{"id":"a","addresses":["100.64.0.1"]},"peers":[{"id":"b"}]}}`))
	f.Add([]byte(`{"type":"live","whole":true,"seq":3,"nodes":[{"id":"b","endpoints":["192.0.2.1:1"],"online":true}]}`))
	f.Add([]byte(`{"type":"unchanged","version":{"epoch":"e","rev":1}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := control.ParseEvent(b)
		if err != nil {
			return
		}
		v, _ := netmap.New(nil).Replace(e.Map)
		v, _ = v.Update(e.Nodes, e.Whole)
		v.Source()
		line, err := e.Line()
		if err != nil {
			t.Fatalf("%q cannot be written again: %v", b, err)
		}
		if _, err := control.ParseEvent(line); err != nil {
			t.Fatalf("%q does not read back: %v", line, err)
		}
	})
}
