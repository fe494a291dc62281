package underlay_test

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"nexd/tunnel/underlay"
)

func addrs(ss ...string) (out []netip.Addr) {
	for _, s := range ss {
		out = append(out, netip.MustParseAddr(s))
	}
	return out
}

func TestCandidates(t *testing.T) {
	up := func(name string, ss ...string) underlay.Interface {
		return underlay.Interface{Name: name, Up: true, Addrs: addrs(ss...)}
	}
	lo := up("lo", "127.0.0.1", "::1")
	for _, tt := range []struct {
		name    string
		in      []underlay.Interface
		exclude []string
		want    []string
	}{
		{"loopback only", []underlay.Interface{lo}, nil, []string{"127.0.0.1"}},
		{"loopback of IPv6 only", []underlay.Interface{up("lo", "::1")}, nil, []string{"::1"}},
		{"nothing", nil, nil, nil},
		{"order", []underlay.Interface{lo, up("eth0", "fd00:5::1", "2001:db8::1", "203.0.113.5", "192.168.1.5")}, nil,
			[]string{"192.168.1.5", "203.0.113.5", "2001:db8::1", "fd00:5::1", "127.0.0.1"}},
		{"containers", []underlay.Interface{lo, up("docker0", "172.17.0.1"), up("br-0a1b2c3d4e5f", "172.18.0.1"), up("vethab12", "10.1.1.1"),
			up("cni0", "10.88.0.1"), up("podman1", "10.89.0.1"), up("virbr0", "192.168.122.1"), up("nexd0", "10.5.0.1")}, nil, []string{"127.0.0.1"}},
		{"bridges that are not of containers", []underlay.Interface{up("br-lan", "192.168.1.1"), up("br0", "192.168.2.1"), up("br-0a1b2c3d4e5g", "192.168.3.1")}, nil,
			[]string{"192.168.1.1", "192.168.2.1", "192.168.3.1"}},
		{"down", []underlay.Interface{{Name: "eth0", Addrs: addrs("192.168.1.5")}}, nil, nil},
		{"pools and prefixes of the map", []underlay.Interface{up("eth0", "100.64.0.7", "172.24.0.1", "10.0.0.1", "fd7a::1")},
			[]string{"100.64.0.0/10", "172.24.0.0/24", "fd7a::/48"}, []string{"10.0.0.1"}},
		{"link-local, multicast, unspecified, mapped", []underlay.Interface{up("eth0", "169.254.1.1", "fe80::1", "224.0.0.1", "0.0.0.0", "::ffff:10.0.0.2")}, nil,
			[]string{"10.0.0.2"}},
		{"one address twice", []underlay.Interface{up("eth0", "10.0.0.2"), up("eth1", "10.0.0.2")}, nil, []string{"10.0.0.2"}},
		{"privacy addresses", []underlay.Interface{up("eth0", "2001:db8::1", "2001:db8::2", "2001:db8::3", "2001:db8::4", "10.0.0.1")}, nil,
			[]string{"10.0.0.1", "2001:db8::1", "2001:db8::2", "2001:db8::3"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var exclude []netip.Prefix
			for _, e := range tt.exclude {
				exclude = append(exclude, netip.MustParsePrefix(e))
			}
			var got []string
			for _, c := range underlay.Candidates(tt.in, 51820, exclude) {
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
	in := []underlay.Interface{{Name: "lo", Up: true, Addrs: addrs("127.0.0.1")}}
	for i := range 40 {
		in = append(in, underlay.Interface{Name: fmt.Sprint("eth", i), Up: true, Addrs: addrs(fmt.Sprintf("10.0.%d.1", i))})
	}
	got := underlay.Candidates(in, 1, nil)
	if len(got) != underlay.MaxCandidates || !got[len(got)-1].Addr().IsLoopback() {
		t.Errorf("%d candidates: %v", len(got), got)
	}
}

func TestLocalCandidates(t *testing.T) {
	got, err := underlay.LocalCandidates(51820, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) == 0 || !got[len(got)-1].Addr().IsLoopback() {
		t.Errorf("candidates of this host: %v; loopback should be the last", got)
	}
}

func ExampleCandidates() {
	host := []underlay.Interface{
		{Name: "lo", Up: true, Addrs: addrs("127.0.0.1", "::1")},
		{Name: "eth0", Up: true, Addrs: addrs("192.168.1.5", "fe80::1")},
		{Name: "docker0", Up: true, Addrs: addrs("172.17.0.1")},
	}
	fmt.Println(underlay.Candidates(host, 51820, []netip.Prefix{netip.MustParsePrefix("100.64.0.0/10")}))
	// Output: [192.168.1.5:51820 127.0.0.1:51820]
}
