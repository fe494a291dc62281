package router

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"time"

	"nexd/mesh"
)

func TestWhatMayBeDialled(t *testing.T) {
	allow := func(s ...string) (out []Allow) {
		for _, s := range s {
			a, err := ParseAllow(s)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, a)
		}
		return out
	}
	for _, tt := range []struct {
		ads   []string
		allow []Allow
		dst   string
		want  string // "" = never
	}{
		{[]string{"172.24.0.0/24"}, nil, "172.24.0.10:80", "172.24.0.10:80"},
		{[]string{"172.24.0.0/24"}, nil, "172.24.1.10:80", ""},
		{nil, nil, "172.24.0.10:80", ""},
		{[]string{"10.201.0.0/16=172.17.0.0/16"}, nil, "10.201.3.4:80", "172.17.3.4:80"},
		{[]string{"10.201.0.0/16=172.17.0.0/16"}, nil, "172.17.3.4:80", ""},
		{[]string{"10.201.0.0/16=172.17.0.0/16", "10.201.3.0/24=10.0.3.0/24"}, nil, "10.201.3.4:80", "10.0.3.4:80"},
		{[]string{"fd00:1::/64=fd00:2::/64"}, nil, "[fd00:1::a]:80", "[fd00:2::a]:80"},
		{[]string{"10.99.0.1/32=127.0.0.1/32"}, nil, "10.99.0.1:80", ""},
		{[]string{"10.99.0.1/32=127.0.0.1/32"}, allow("127.0.0.1"), "10.99.0.1:80", "127.0.0.1:80"},
		{[]string{"10.99.0.1/32=127.0.0.1/32"}, allow("127.0.0.1:80"), "10.99.0.1:80", "127.0.0.1:80"},
		{[]string{"10.99.0.1/32=127.0.0.1/32"}, allow("127.0.0.1:80"), "10.99.0.1:81", ""},
		{[]string{"10.99.0.1/32=127.0.0.1/32"}, allow("127.0.0.1:80"), "10.99.0.1:0", ""}, // echo
		{[]string{"10.99.0.1/32=127.0.0.1/32"}, allow("127.0.0.2"), "10.99.0.1:80", ""},
		{[]string{"fd99::1/128=::1/128"}, nil, "[fd99::1]:80", ""},
		{[]string{"fd99::1/128=::1/128"}, allow("::1"), "[fd99::1]:80", "[::1]:80"},
		{[]string{"10.99.0.0/16=169.254.0.0/16"}, nil, "10.99.169.254:80", ""},
		{[]string{"10.99.0.0/16=169.254.0.0/16"}, allow("169.254.169.254:80"), "10.99.169.254:80", "169.254.169.254:80"},
		{[]string{"fd99::/64=fe80::/64"}, nil, "[fd99::1]:80", ""},
		{[]string{"10.0.0.0/8=0.0.0.0/8"}, nil, "10.0.0.0:80", ""},
		{[]string{"10.0.0.0/8=224.0.0.0/8"}, nil, "10.0.0.1:80", ""},
		{[]string{"255.255.255.255/32"}, nil, "255.255.255.255:80", ""},
		{[]string{"0.0.0.0/0"}, nil, "127.0.0.1:80", ""},
		{[]string{"::/0"}, nil, "[ff02::1]:80", ""},
		{[]string{"::/0"}, nil, "[::]:80", ""},
	} {
		got, ok := newTable(ads(t, tt.ads...), tt.allow).target(ap(tt.dst))
		if ok != (tt.want != "") || ok && got.String() != tt.want {
			t.Errorf("%v with %v: %s is dialled as %v, %v; want %q", tt.ads, tt.allow, tt.dst, got, ok, tt.want)
		}
	}
}

func TestAnAdvertisementWithoutMappingIsDialledAsItIs(t *testing.T) {
	p := netip.MustParsePrefix("172.24.0.0/24")
	got, ok := newTable([]mesh.Advertisement{{Prefix: p}}, nil).target(ap("172.24.0.3:80"))
	if !ok || got != ap("172.24.0.3:80") {
		t.Errorf("target %v, %v", got, ok)
	}
}

func TestParseAllow(t *testing.T) {
	for _, tt := range []struct{ in, opens, err string }{
		{"127.0.0.1", "every TCP and UDP port of 127.0.0.1 on this host", ""},
		{"127.0.0.1:8080", "TCP and UDP port 8080 of 127.0.0.1 on this host", ""},
		{"127.0.0.0/8", "every TCP and UDP port of 127.0.0.0/8", ""},
		{"::1", "every TCP and UDP port of ::1", ""},
		{"[::1]:22", "TCP and UDP port 22 of ::1", ""},
		{"169.254.169.254:80", "port 80 of 169.254.169.254", ""},
		{"fe80::/10", "fe80::/10", ""},
		{"10.0.0.1", "", "needs no permission"},
		{"0.0.0.0/0", "", "needs no permission"},
		{"0.0.0.0", "", "needs no permission"},
		{"224.0.0.1", "", "needs no permission"},
		{"localhost", "", `"localhost": expected ADDRESS`},
		{"127.0.0.1:0", "", "expected ADDRESS"},
		{"127.0.0.1:http", "", "expected ADDRESS"},
		{"127.0.0.1/8", "", "did you mean 127.0.0.0/8"},
		{"fe80::1%eth0", "", "expected ADDRESS"},
		{"", "", "expected ADDRESS"},
	} {
		a, err := ParseAllow(tt.in)
		switch {
		case tt.err == "" && (err != nil || a.String() != tt.in || !strings.Contains(a.Opens(), tt.opens)):
			t.Errorf("ParseAllow(%q) = %v, %v; opens %q", tt.in, a, err, a.Opens())
		case tt.err != "" && (mesh.KindOf(err) != mesh.Invalid || !strings.Contains(err.Error(), tt.err)):
			t.Errorf("ParseAllow(%q) = %v, want an Invalid error with %q", tt.in, err, tt.err)
		}
	}
}

func FuzzParseAllow(f *testing.F) {
	for _, s := range []string{"127.0.0.1", "[::1]:80", "127.0.0.0/8", "fe80::1%x", "::ffff:127.0.0.1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, err := ParseAllow(s)
		if err != nil {
			return
		}
		if b, err := ParseAllow(a.String()); err != nil || a != b {
			t.Fatalf("%q is %v, which reads back as %v, %v", s, a, b, err)
		}
		if !withinLocal(a.Prefix) {
			t.Fatalf("%q opens %v", s, a.Prefix)
		}
	})
}

func TestNewRefuses(t *testing.T) {
	for _, cfg := range []Config{
		{Limits: Limits{Dials: -1}},
		{Limits: Limits{UDPIdle: -time.Second}},
		{AllowLocal: []Allow{{}}},
		{AllowLocal: []Allow{{Prefix: netip.MustParsePrefix("0.0.0.0/0")}}},
	} {
		if _, err := New(cfg); mesh.KindOf(err) != mesh.Invalid {
			t.Errorf("New(%+v) = %v, want an Invalid error", cfg, err)
		}
	}
}

func TestHealthForgets(t *testing.T) {
	h := newHealth(time.Second)
	for i := range 3 * maxHealth {
		to := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 80)
		h.report(to, timedOut, 0)
		h.report(netip.AddrPortFrom(to.Addr(), 81), connected, 0)
	}
	if len(h.dead) > maxHealth || len(h.proven) > maxHealth {
		t.Errorf("%d dead and %d proven targets kept", len(h.dead), len(h.proven))
	}
}

// The mesh knows a container at 172.17.0.10 as 10.201.0.10.
func Example() {
	container, _ := net.Listen("tcp", "127.0.0.1:0")
	defer container.Close()
	go func() {
		c, _ := container.Accept()
		fmt.Fprint(c, "hello from the container")
		c.Close()
	}()
	ad, _ := mesh.ParseAdvertisement("10.201.0.0/24=172.17.0.0/24")
	r, _ := New(Config{
		Advertisements: []mesh.Advertisement{ad},
		Ping:           noPing,
		Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			fmt.Println("dial", network, address)
			return net.Dial(network, container.Addr().String())
		},
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- r.Run(ctx) }()
	for !r.isRunning() {
		runtime.Gosched()
	}

	f := tcpFlow("100.64.0.2:40000", "10.201.0.10:80")
	go r.TCP(f) // netstack calls this
	fmt.Println("verdict", <-f.ch)
	buf := make([]byte, 100)
	n, _ := f.client.Read(buf)
	fmt.Println(string(buf[:n]))
	cancel()
	fmt.Println("run", <-done)
	// Output:
	// dial tcp 172.17.0.10:80
	// verdict accept
	// hello from the container
	// run <nil>
}
