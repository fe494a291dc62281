package candidates_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"nexd/tunnel/candidates"
)

func addrs(ss ...string) (out []netip.Addr) {
	for _, s := range ss {
		out = append(out, netip.MustParseAddr(s))
	}
	return out
}

func TestCandidates(t *testing.T) {
	up := func(name string, ss ...string) candidates.Interface {
		return candidates.Interface{Name: name, Up: true, Addrs: addrs(ss...)}
	}
	lo := up("lo", "127.0.0.1", "::1")
	for _, tt := range []struct {
		name    string
		in      []candidates.Interface
		exclude []string
		want    []string
	}{
		{"loopback only", []candidates.Interface{lo}, nil, []string{"127.0.0.1"}},
		{"loopback of IPv6 only", []candidates.Interface{up("lo", "::1")}, nil, []string{"::1"}},
		{"nothing", nil, nil, nil},
		{"order", []candidates.Interface{lo, up("eth0", "fd00:5::1", "2001:db8::1", "203.0.113.5", "192.168.1.5")}, nil,
			[]string{"192.168.1.5", "203.0.113.5", "2001:db8::1", "fd00:5::1", "127.0.0.1"}},
		{"containers", []candidates.Interface{lo, up("docker0", "172.17.0.1"), up("br-0a1b2c3d4e5f", "172.18.0.1"), up("vethab12", "10.1.1.1"),
			up("cni0", "10.88.0.1"), up("podman1", "10.89.0.1"), up("virbr0", "192.168.122.1"), up("nexd0", "10.5.0.1")}, nil, []string{"127.0.0.1"}},
		{"bridges that are not of containers", []candidates.Interface{up("br-lan", "192.168.1.1"), up("br0", "192.168.2.1"), up("br-0a1b2c3d4e5g", "192.168.3.1")}, nil,
			[]string{"192.168.1.1", "192.168.2.1", "192.168.3.1"}},
		{"down", []candidates.Interface{{Name: "eth0", Addrs: addrs("192.168.1.5")}}, nil, nil},
		{"pools of the map", []candidates.Interface{up("eth0", "100.64.0.7", "172.24.0.1", "10.0.0.1", "fd7a::1")},
			[]string{"100.64.0.0/10", "fd7a::/48"}, []string{"172.24.0.1", "10.0.0.1"}},
		{"link-local, multicast, unspecified, mapped", []candidates.Interface{up("eth0", "169.254.1.1", "fe80::1", "224.0.0.1", "0.0.0.0", "::ffff:10.0.0.2")}, nil,
			[]string{"10.0.0.2"}},
		{"one address twice", []candidates.Interface{up("eth0", "10.0.0.2"), up("eth1", "10.0.0.2")}, nil, []string{"10.0.0.2"}},
		{"privacy addresses", []candidates.Interface{up("eth0", "2001:db8::1", "2001:db8::2", "2001:db8::3", "2001:db8::4", "10.0.0.1")}, nil,
			[]string{"10.0.0.1", "2001:db8::1", "2001:db8::2", "2001:db8::3"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var exclude []netip.Prefix
			for _, e := range tt.exclude {
				exclude = append(exclude, netip.MustParsePrefix(e))
			}
			var got []string
			for _, c := range candidates.Offered(candidates.Of(tt.in, 51820, exclude, candidates.Exclusion{})) {
				if c.Port() != 51820 {
					t.Errorf("port %d", c.Port())
				}
				got = append(got, c.Addr().String())
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("got  %v\nwant %v", got, tt.want)
			}
		})
	}
}

func TestCandidatesAreBoundedAndKeepLoopback(t *testing.T) {
	in := []candidates.Interface{{Name: "lo", Up: true, Addrs: addrs("127.0.0.1")}}
	for i := range 40 {
		in = append(in, candidates.Interface{Name: fmt.Sprint("eth", i), Up: true, Addrs: addrs(fmt.Sprintf("10.0.%d.1", i))})
	}
	got := candidates.Offered(candidates.Of(in, 1, nil, candidates.Exclusion{}))
	if len(got) != candidates.Max || !got[len(got)-1].Addr().IsLoopback() {
		t.Errorf("%d candidates: %v", len(got), got)
	}
}

func TestLocalCandidates(t *testing.T) {
	all, err := candidates.Local(51820, nil, candidates.Exclusion{})
	got := candidates.Offered(all)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) == 0 || !got[len(got)-1].Addr().IsLoopback() {
		t.Errorf("candidates of this host: %v; loopback should be the last", got)
	}
}

func ExampleOf() {
	host := []candidates.Interface{
		{Name: "lo", Up: true, Addrs: addrs("127.0.0.1", "::1")},
		{Name: "eth0", Up: true, Addrs: addrs("192.168.1.5", "fe80::1")},
		{Name: "docker0", Up: true, Addrs: addrs("172.17.0.1")},
	}
	fmt.Println(candidates.Offered(candidates.Of(host, 51820, []netip.Prefix{netip.MustParsePrefix("100.64.0.0/10")}, candidates.Exclusion{})))
	// Output: [192.168.1.5:51820 127.0.0.1:51820]
}

func TestClean(t *testing.T) {
	in := []netip.AddrPort{
		{}, netip.MustParseAddrPort("0.0.0.0:1"), netip.MustParseAddrPort("[::]:1"), netip.MustParseAddrPort("224.0.0.1:1"), netip.MustParseAddrPort("[ff02::1]:1"), netip.MustParseAddrPort("10.0.0.1:0"),
		netip.MustParseAddrPort("[::ffff:10.0.0.1]:5"), netip.MustParseAddrPort("10.0.0.1:5"), netip.MustParseAddrPort("10.0.0.1:6"), netip.MustParseAddrPort("[2001:db8::1]:5"), netip.MustParseAddrPort("127.0.0.1:5"),
	}
	want := []netip.AddrPort{netip.MustParseAddrPort("10.0.0.1:5"), netip.MustParseAddrPort("10.0.0.1:6"), netip.MustParseAddrPort("[2001:db8::1]:5"), netip.MustParseAddrPort("127.0.0.1:5")}
	if got := candidates.Clean(in); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	var many []netip.AddrPort
	for i := range 100 {
		many = append(many, netip.AddrPortFrom(netip.MustParseAddr("10.0.0.1"), uint16(i+1)))
	}
	if got := candidates.Clean(many); len(got) != candidates.Max {
		t.Errorf("%d candidates kept", len(got))
	}
}

func TestExclusion(t *testing.T) {
	host := []candidates.Interface{
		{Name: "lo", Up: true, Addrs: addrs("127.0.0.1")},
		{Name: "eth0", Up: true, Addrs: addrs("192.0.2.5", "2001:db8::5", "fe80::1")},
		{Name: "tun1", Up: true, Addrs: addrs("10.8.0.2", "fe80::2"), Nets: []netip.Prefix{netip.MustParsePrefix("10.8.0.2/24"), netip.MustParsePrefix("fe80::2/64")}},
		{Name: "eth1", Addrs: addrs("192.0.2.6")},
		{Name: "docker0", Up: true, Addrs: addrs("172.17.0.1")},
	}
	x, err := candidates.ParseExclusion([]string{"tun1", "2001:db8::/32", "10.9.0.7"})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"192.0.2.5": "", "127.0.0.1": "", "2001:db8::5": "excluded: prefix 2001:db8::/32", "10.8.0.2": "excluded: interface tun1", "fe80::2": "excluded: interface tun1",
		"fe80::1": "link-local", "192.0.2.6": "the interface is down", "172.17.0.1": "interface of containers or virtual machines",
	}
	got := candidates.Of(host, 1, nil, x)
	for _, c := range got {
		if w, ok := want[c.Addr.Addr().String()]; !ok || c.Skipped != w {
			t.Errorf("%v of %s: %q, want %q", c.Addr, c.Interface, c.Skipped, w)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d candidates, want %d", len(got), len(want))
	}
	if s := fmt.Sprintf("%+v", x.Of(host)); s != "{Nets:[2001:db8::/32 10.9.0.7/32 10.8.0.0/24] Own:[2001:db8::5 10.8.0.2 fe80::2] Missing:[]}" {
		t.Errorf("avoided: %s", s)
	}
	if s := fmt.Sprintf("%+v", x.Of(host[:2])); s != "{Nets:[2001:db8::/32 10.9.0.7/32] Own:[2001:db8::5] Missing:[tun1]}" {
		t.Errorf("avoided while tun1 is away: %s", s)
	}
	for _, bad := range []string{"tun*", "", "10.8.0.0/33", "eth0:1", "a b", "/24"} {
		if _, err := candidates.ParseExclusion([]string{bad}); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("%q", bad)) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
