package netcheck_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"nexd/control"
	"nexd/internal/natlab"
	wire "nexd/internal/stun"
	"nexd/mesh"
	"nexd/netcheck"
)

const (
	one      = "192.0.2.1:3478"
	onePort  = "192.0.2.1:3479"
	two      = "192.0.2.2:3478"
	twoPort  = "192.0.2.2:3479"
	six      = "[2001:db8::1]:3478"
	sixPort  = "[2001:db8::1]:3479"
	lan      = "192.168.1.2"
	lan6     = "2001:db8:7::2"
	outside  = "203.0.113.7"
	theLimit = netcheck.DefaultLimit
)

func natted(b box) box { b.addr = netip.MustParseAddr(outside); return b }

// config configures a run on the host of this internet. The service's health is told.
func (n *internet) config(told control.Health) netcheck.Config {
	service, err := control.ParseJoinURL("https://192.0.2.1:8443")
	if err != nil {
		panic(err)
	}
	return netcheck.Config{
		URL: service, Listen: n.listen(false), ListenDF: n.listen(true),
		Leaving: func(to netip.AddrPort) netip.Addr {
			if to.Addr().Is4() != n.host.Is4() {
				return netip.Addr{}
			}
			return n.host
		},
		Proxy: func(*http.Request) (*url.URL, error) { return nil, nil },
		About: func(context.Context) (control.Health, error) {
			time.Sleep(2 * wireDelay)
			h := told
			if h.Time.IsZero() {
				h.Time = time.Now()
			}
			return h, nil
		},
	}
}

func run(t *testing.T, cfg netcheck.Config) netcheck.Report {
	t.Helper()
	began := time.Now()
	r, err := netcheck.Run(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > theLimit {
		t.Errorf("it took %v", took)
	}
	return r
}

func TestMappingAndFiltering(t *testing.T) {
	full, ports, addrs, single := []string{one, onePort, two, twoPort}, []string{one, onePort}, []string{one, two}, []string{one}
	for _, tt := range []struct {
		name    string
		box     box
		servers []string
		mapping wire.Mapping
		filter  netcheck.Filtering
	}{
		{"no NAT", box{}, full, wire.NoMapping, netcheck.EndpointFiltering},
		{"no NAT, ports", box{}, ports, wire.NoMapping, netcheck.PortlessFiltering},
		{"firewall", box{filter: onAddrPort}, full, wire.NoMapping, netcheck.AddressPortFiltering},
		{"full cone", natted(box{}), full, wire.EndpointMapping, netcheck.EndpointFiltering},
		{"full cone, ports", natted(box{}), ports, wire.PortlessMapping, netcheck.PortlessFiltering},
		{"full cone, addresses", natted(box{}), addrs, wire.EndpointMapping, netcheck.EndpointFiltering},
		{"full cone, one", natted(box{}), single, "unknown", netcheck.FilteringUnknown},
		{"restricted", natted(box{filter: onAddr}), full, wire.EndpointMapping, netcheck.AddressFiltering},
		{"restricted, ports", natted(box{filter: onAddr}), ports, wire.PortlessMapping, netcheck.PortlessFiltering},
		{"restricted, addresses", natted(box{filter: onAddr}), addrs, wire.EndpointMapping, netcheck.FilteringUnknown},
		{"port-restricted", natted(box{filter: onAddrPort}), full, wire.EndpointMapping, netcheck.AddressPortFiltering},
		{"port-restricted, ports", natted(box{filter: onAddrPort}), ports, wire.PortlessMapping, netcheck.AddressPortFiltering},
		{"address-dependent", natted(box{mapping: onAddr, filter: onAddrPort}), full, wire.AddressMapping, netcheck.AddressPortFiltering},
		{"address-dependent, ports", natted(box{mapping: onAddr, filter: onAddr}), ports, wire.PortlessMapping, netcheck.PortlessFiltering},
		{"symmetric", natted(box{mapping: onAddrPort, filter: onAddrPort}), full, wire.AddressPortMapping, netcheck.AddressPortFiltering},
		{"symmetric, ports", natted(box{mapping: onAddrPort, filter: onAddrPort}), ports, wire.AddressPortMapping, netcheck.AddressPortFiltering},
		{"symmetric, addresses", natted(box{mapping: onAddrPort, filter: onAddrPort}), addrs, wire.DependentMapping, netcheck.FilteringUnknown},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newInternet(lan, tt.box, tt.servers...)
				r := run(t, n.config(control.Health{Relay: true, STUN: tt.servers}))
				f := r.IPv4
				if f.UDP != netcheck.Passes || r.UDP != netcheck.Passes || !r.Works {
					t.Fatalf("%+v", r)
				}
				if f.Mapping != tt.mapping || f.Filtering != tt.filter {
					t.Errorf("mapping %s (%s), filtering %s (%s); want %s, %s", f.Mapping, f.MappingWhy, f.Filtering, f.FilteringWhy, tt.mapping, tt.filter)
				}
				if (f.Mapping == "unknown" || f.Mapping == wire.PortlessMapping) && f.MappingWhy == "" {
					t.Errorf("mapping %s without a reason", f.Mapping)
				}
				if (f.Filtering == netcheck.FilteringUnknown || f.Filtering == netcheck.PortlessFiltering) && f.FilteringWhy == "" {
					t.Errorf("filtering %s without a reason", f.Filtering)
				}
				if wantAddr := outside; f.RTT < 20 || f.RTT > 30 || tt.box.addr.IsValid() && f.Mapped.Addr().String() != wantAddr {
					t.Errorf("%v after %v ms", f.Mapped, f.RTT)
				}
				if r.IPv6.UDP != netcheck.Absent {
					t.Errorf("IPv6: %+v", r.IPv6)
				}
			})
		})
	}
}

// boxed is a NAT outside, or a firewall for IPv6.
func boxed(host string, b box) box {
	if host == lan {
		return natted(b)
	}
	return b
}

// The results do not depend on which server answers first, nor on whether a NAT remembers whom it
// admits for each mapping or in one set for all.
func TestFilteringWhicheverServerIsFirst(t *testing.T) {
	v6 := func(at ...string) (out []string) {
		for _, s := range at {
			host, port, _ := net.SplitHostPort(s)
			out = append(out, net.JoinHostPort("2001:db8::"+host[len(host)-1:], port))
		}
		return out
	}
	sets := map[string][]string{
		"two ports and an address": {one, onePort, two}, "an address and two ports": {two, one, onePort},
		"two of each": {one, onePort, two, twoPort}, "two addresses": {one, two}, "two ports": {one, onePort}, "one": {one},
	}
	runs := 0
	for name, servers := range sets {
		for _, host := range []string{lan, lan6} {
			if host == lan6 {
				servers = v6(servers...)
			}
			full := len(servers) >= 3
			for _, set := range []bool{false, true} {
				for filter, want := range map[natlab.Depends]netcheck.Filtering{
					natlab.OnNothing: netcheck.EndpointFiltering, onAddr: netcheck.AddressFiltering, onAddrPort: netcheck.AddressPortFiltering,
				} {
					switch {
					case name == "one", name == "two addresses" && filter != natlab.OnNothing:
						want = netcheck.FilteringUnknown
					case name == "two ports" && filter != onAddrPort:
						want = netcheck.PortlessFiltering
					}
					times := 1
					if full {
						times = 10
					}
					for range times {
						runs++
						synctest.Test(t, func(t *testing.T) {
							n := newInternet(host, boxed(host, box{filter: filter, set: set, jitter: 10 * time.Millisecond}), servers...)
							r := run(t, n.config(control.Health{Relay: true, STUN: servers}))
							f := r.IPv4
							if host == lan6 {
								f = r.IPv6
							}
							if f.Filtering != want || (f.Filtering == netcheck.FilteringUnknown) != (f.FilteringWhy != "") && want != netcheck.PortlessFiltering {
								t.Errorf("%s, %s, set %v: filtering %s (%s), want %s", name, host, set, f.Filtering, f.FilteringWhy, want)
							}
						})
					}
				}
			}
		}
	}
	if runs < 200 {
		t.Errorf("only %d runs", runs)
	}
}

// Later runs are right as well, or say that they cannot know: a set remembers whom the earlier ones
// sent to.
func TestFilteringAgainAndAgain(t *testing.T) {
	servers := []string{one, onePort, two}
	for _, tt := range []struct {
		filter      natlab.Depends
		set         bool
		first, then netcheck.Filtering
	}{
		{natlab.OnNothing, false, netcheck.EndpointFiltering, netcheck.EndpointFiltering},
		{onAddr, false, netcheck.AddressFiltering, netcheck.AddressFiltering},
		{onAddrPort, false, netcheck.AddressPortFiltering, netcheck.AddressPortFiltering},
		{onAddr, true, netcheck.AddressFiltering, netcheck.PortlessFiltering},
		{onAddrPort, true, netcheck.AddressPortFiltering, netcheck.FilteringUnknown},
	} {
		memory := filepath.Join(t.TempDir(), "cache", "netcheck.json")
		synctest.Test(t, func(t *testing.T) {
			n := newInternet(lan, natted(box{filter: tt.filter, set: tt.set, jitter: 10 * time.Millisecond}), servers...)
			want := tt.first
			for i := range 10 {
				cfg := n.config(control.Health{Relay: true, STUN: servers})
				if cfg.Memory = memory; i == 7 { // beside a node
					cfg.Relay = &netcheck.Relay{State: netcheck.RelayConnected}
				}
				if f := run(t, cfg).IPv4; f.Filtering != want || tt.first != tt.then && (f.FilteringWhy != "") != (i > 0) {
					t.Fatalf("run %d: filtering %s (%s), want %s", i, f.Filtering, f.FilteringWhy, want)
				}
				want = tt.then
			}
		})
	}
}

// Silence of a server that answers nothing else is no filter of this network.
func TestFilteringWithASilentServer(t *testing.T) {
	for _, tt := range []struct {
		told, real []string
		want       netcheck.Filtering
	}{
		{[]string{one, onePort, two}, []string{one, onePort}, netcheck.PortlessFiltering},
		{[]string{one, onePort}, []string{one}, netcheck.FilteringUnknown},
		{[]string{"192.0.2.9:3478", one, onePort}, []string{one, onePort}, netcheck.PortlessFiltering},
	} {
		synctest.Test(t, func(t *testing.T) {
			n := newInternet(lan, natted(box{}), tt.real...)
			if f := run(t, n.config(control.Health{Relay: true, STUN: tt.told})).IPv4; f.Filtering != tt.want || f.FilteringWhy == "" {
				t.Errorf("%v of %v: filtering %s (%s), want %s", tt.real, tt.told, f.Filtering, f.FilteringWhy, tt.want)
			}
		})
	}
}

// A running node has sent to all addresses of the service, so a NAT with a set admits them all.
func TestFilteringBesideANode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		servers := []string{one, onePort, two}
		cfg := newInternet(lan, natted(box{}), servers...).config(control.Health{Relay: true, STUN: servers})
		cfg.Relay = &netcheck.Relay{State: netcheck.RelayConnected}
		if f := run(t, cfg).IPv4; f.Filtering != netcheck.PortlessFiltering || !strings.Contains(f.FilteringWhy, "cannot be told") {
			t.Errorf("filtering %s (%s)", f.Filtering, f.FilteringWhy)
		}
	})
}

func TestHairpin(t *testing.T) {
	for _, tt := range []struct {
		name string
		box  box
		want netcheck.State
	}{
		{"no NAT", box{}, netcheck.Absent},
		{"yes", natted(box{hairpin: true}), netcheck.Yes},
		{"yes, port-restricted", natted(box{hairpin: true, filter: onAddrPort}), netcheck.Yes},
		{"no", natted(box{}), netcheck.No},
		{"symmetric", natted(box{hairpin: true, mapping: onAddrPort, filter: onAddrPort}), netcheck.Unknown},
	} {
		synctest.Test(t, func(t *testing.T) {
			servers := []string{one, onePort}
			r := run(t, newInternet(lan, tt.box, servers...).config(control.Health{Relay: true, STUN: servers}))
			if got := r.IPv4.Hairpin; got != tt.want || got == netcheck.Unknown && r.IPv4.HairpinWhy == "" {
				t.Errorf("%s: %s (%s), want %s", tt.name, got, r.IPv4.HairpinWhy, tt.want)
			}
		})
	}
}

func TestPathMTU(t *testing.T) {
	for _, tt := range []struct {
		host          string
		servers       []string
		mtu, overhead int
	}{
		{lan, []string{one, onePort}, 0, 60},
		{lan, []string{one, onePort}, 1492, 60},
		{lan, []string{one, onePort}, 1436, 60},
		{lan, []string{one, onePort}, 1280, 60},
		{lan, []string{one, onePort}, 1000, 60},
		{lan6, []string{six, sixPort}, 0, 80},
		{lan6, []string{six, sixPort}, 1472, 80},
	} {
		synctest.Test(t, func(t *testing.T) {
			n := newInternet(tt.host, box{mtu: tt.mtu}, tt.servers...)
			r := run(t, n.config(control.Health{Relay: true, STUN: tt.servers}))
			f := r.IPv4
			if tt.host == lan6 {
				f = r.IPv6
			}
			want := tt.mtu
			if want == 0 {
				want = netcheck.MaxMTU
			}
			least := want
			if want == 1000 { // far from all that links have: only near it
				least = want - 48
			}
			if f.PathMTU > want || f.PathMTU < least || f.TunnelMTU != f.PathMTU-tt.overhead {
				t.Errorf("path MTU %d is found as %d (%s), tunnel MTU %d", tt.mtu, f.PathMTU, f.PathMTUWhy, f.TunnelMTU)
			}
		})
	}
}

func TestPathMTUThatCannotBeMeasured(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		servers := []string{one, onePort}
		cfg := newInternet(lan, box{}, servers...).config(control.Health{Relay: true, STUN: servers})
		cfg.ListenDF = func(string) (netcheck.Socket, error) { return nil, errors.New("not on this system") }
		if f := run(t, cfg).IPv4; f.PathMTU != 0 || !strings.Contains(f.PathMTUWhy, "not on this system") {
			t.Errorf("%d, %q", f.PathMTU, f.PathMTUWhy)
		}
	})
}

func TestVerdicts(t *testing.T) {
	servers := []string{one, onePort}
	for _, tt := range []struct {
		name    string
		blocked bool
		told    control.Health
		away    error
		udp     netcheck.State
		works   bool
		part    string
	}{
		{"all", false, control.Health{Relay: true, STUN: servers}, nil, netcheck.Passes, true, "direct paths where"},
		{"UDP blocked", true, control.Health{Relay: true, STUN: servers}, nil, netcheck.Blocked, true, "relay only"},
		{"no relay", false, control.Health{STUN: servers}, nil, netcheck.Passes, true, "there is no relay"},
		{"no relay, UDP blocked", true, control.Health{STUN: servers}, nil, netcheck.Blocked, false, "no mesh"},
		{"no relay, no STUN", false, control.Health{}, nil, netcheck.Unknown, true, "may work"},
		{"no STUN", false, control.Health{Relay: true}, nil, netcheck.Unknown, true, "a mesh works"},
		{"no service", false, control.Health{Relay: true, STUN: servers}, mesh.Errorf(mesh.Unavailable, "control: it is away"), netcheck.Unknown, false, "cannot be reached"},
	} {
		synctest.Test(t, func(t *testing.T) {
			cfg := newInternet(lan, natted(box{blocked: tt.blocked}), servers...).config(tt.told)
			if tt.away != nil {
				cfg.About = func(context.Context) (control.Health, error) { return control.Health{}, tt.away }
			}
			r := run(t, cfg)
			if r.UDP != tt.udp || r.Works != tt.works || !strings.Contains(r.Verdict, tt.part) {
				t.Errorf("%s: UDP %s (%s), works %v: %s", tt.name, r.UDP, r.UDPWhy, r.Works, r.Verdict)
			}
			if r.UDP != netcheck.Passes && r.UDPWhy == "" {
				t.Errorf("%s: UDP %s without a reason", tt.name, r.UDP)
			}
			for _, l := range r.Lines() {
				if l.Found == "" {
					t.Errorf("%s: line %+v says nothing", tt.name, l)
				}
			}
		})
	}
}

func TestClock(t *testing.T) {
	for _, behind := range []time.Duration{0, -90 * time.Second, time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			cfg := newInternet(lan, box{}).config(control.Health{Relay: true})
			cfg.About = func(context.Context) (control.Health, error) {
				time.Sleep(50 * time.Millisecond)
				at := time.Now().Add(behind)
				time.Sleep(50 * time.Millisecond)
				return control.Health{Relay: true, Time: at}, nil
			}
			r := run(t, cfg)
			if s := r.Service.Skew; s == nil || *s != float64(behind.Milliseconds()) {
				t.Errorf("%v: skew %v", behind, s)
			}
		})
	}
}

// A result that needs a timeout stays unknown when the time is up.
func TestNoTimeIsNoAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		servers := []string{one, onePort, two, twoPort}
		cfg := newInternet(lan, natted(box{filter: onAddrPort, mtu: 1400}), servers...).config(control.Health{Relay: true, STUN: servers})
		cfg.Limit = 500 * time.Millisecond
		f := run(t, cfg).IPv4
		if f.UDP != netcheck.Passes || f.Mapping != "unknown" || f.MappingWhy == "" || f.Filtering != netcheck.FilteringUnknown || f.Hairpin != netcheck.Unknown || f.PathMTU != 0 {
			t.Errorf("%+v", f)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		cfg := newInternet(lan, box{blocked: true}, one).config(control.Health{Relay: true, STUN: []string{one}})
		cfg.Limit = 500 * time.Millisecond
		if r := run(t, cfg); r.UDP != netcheck.Unknown || r.UDPWhy == "" {
			t.Errorf("UDP %s (%s)", r.UDP, r.UDPWhy)
		}
	})
}

// A service that never answers takes no longer than the limit.
func TestLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := newInternet(lan, box{}).config(control.Health{})
		cfg.About = func(ctx context.Context) (control.Health, error) { <-ctx.Done(); return control.Health{}, ctx.Err() }
		if r := run(t, cfg); r.Works || r.Service.Reachable {
			t.Errorf("%+v", r)
		}
	})
}
