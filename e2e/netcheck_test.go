package e2e

import (
	"encoding/json"
	"fmt"
	"syscall"
	"testing"
	"time"

	"nexd/agent/localapi"
	"nexd/internal/eventually"
	"nexd/internal/stun"
	"nexd/netcheck"
)

// openNAT maps every inside port to the same outside port, for all destinations.
var openNAT = nat{name: "full cone NAT for all ports", post: "oifname eth0 masquerade", pre: "iifname eth0 meta l4proto udp dnat to 10.1.0.10"}

// setNAT is openNAT for packets from addresses that the node has sent to: a set, which does not know
// which port has sent.
var setNAT = nat{name: "restricted NAT with a set", post: "oifname eth0 masquerade", pre: "iifname eth0 ip saddr @known meta l4proto udp dnat to 10.1.0.10",
	set: "add set ip nat known { type ipv4_addr; flags dynamic,timeout; timeout 5m; }; " +
		"add chain ip nat out { type filter hook forward priority 0; }; add rule ip nat out oifname eth0 meta l4proto udp update @known { ip daddr }"}

// netcheck starts nexd netcheck in a namespace. It cannot remember earlier runs.
func (w *world) netcheck(ns string, args ...string) *proc {
	w.t.Helper()
	return w.start(ns, "netcheck "+ns, []string{"XDG_CACHE_HOME=/nowhere"}, append([]string{bin("nexd"), "netcheck", "--json"}, args...)...)
}

// report is its output and exit code.
func (p *proc) report() (r netcheck.Report, code int) {
	p.t.Helper()
	code = p.exit(30 * time.Second)
	if err := json.Unmarshal([]byte(p.log()), &r); err != nil {
		p.t.Fatalf("%s: exit code %d, %v\n%s", p.name, code, err, p.log())
	}
	return r, code
}

// checkCase is a kind of network and the expected result of netcheck.
type checkCase struct {
	name    string
	nat     nat
	drops   string // packets that the box does not forward; "" = none
	udp     netcheck.State
	mapping stun.Mapping
	filter  netcheck.Filtering
	mtu     int
	works   bool
}

// fault returns the error in a report, or "".
func (k checkCase) fault(r netcheck.Report, code int) string {
	f := r.IPv4
	switch {
	case r.UDP != k.udp || f.Mapping != k.mapping || f.Filtering != k.filter || f.PathMTU != k.mtu:
		return fmt.Sprintf("UDP %s, mapping %s, filtering %s, path MTU %d (%s)", r.UDP, f.Mapping, f.Filtering, f.PathMTU, f.PathMTUWhy)
	case r.Works != k.works || r.Service.Reachable != k.works || (code == 0) != k.works:
		return fmt.Sprintf("works %v, service %+v, exit code %d", r.Works, r.Service, code)
	case k.works && (r.Relay.State != netcheck.RelayNotAsked || r.Service.Skew == nil || r.Service.Trust != "pin"):
		return fmt.Sprintf("relay %+v, service %+v", r.Relay, r.Service)
	}
	return ""
}

func TestNetcheck(t *testing.T) {
	t.Parallel()
	w := &world{lab: newLab(t, "nft")}
	w.host("svc", "192.0.2.1/24", "192.0.2.2/24")
	kinds := []checkCase{
		{"bare", noNAT, "", netcheck.Passes, stun.NoMapping, netcheck.EndpointFiltering, 1500, true},
		{"cone", openNAT, "", netcheck.Passes, stun.EndpointMapping, netcheck.EndpointFiltering, 1500, true},
		{"set", setNAT, "", netcheck.Passes, stun.EndpointMapping, netcheck.AddressFiltering, 1500, true},
		{"tight", portRestricted, "", netcheck.Passes, stun.EndpointMapping, netcheck.AddressPortFiltering, 1400, true},
		{"sym", symmetric, "", netcheck.Passes, stun.AddressPortMapping, netcheck.AddressPortFiltering, 1500, true},
		{"noudp", portRestricted, "meta l4proto udp", netcheck.Blocked, "unknown", netcheck.FilteringUnknown, 0, true},
		{"off", portRestricted, "ip daddr 192.0.2.0/24", netcheck.Unknown, "unknown", netcheck.FilteringUnknown, 0, false},
	}
	for i, k := range kinds {
		w.home(k.name, 31+i, k.nat)
		if k.drops != "" {
			w.in("nat-"+k.name, "nft", "add table ip cut; add chain ip cut f { type filter hook forward priority 0; }; add rule ip cut f "+k.drops+" drop")
		}
	}
	w.home("sym2", 41, symmetric)
	w.in("nat-tight", "ip", "link", "set", "eth0", "mtu", "1400")
	w.bootstrapAt("192.0.2.1:8443")
	w.serveArgs = []string{"--stun-listen=192.0.2.1:3478", "--stun-listen=192.0.2.1:3479", "--stun-listen=192.0.2.2:3478", "--stun-listen=192.0.2.2:3479"}
	w.serve()

	runs := map[string]*proc{}
	for _, k := range kinds {
		runs[k.name] = w.netcheck(k.name, w.url)
	}
	for _, k := range kinds {
		fault := k.fault(runs[k.name].report())
		for try := 1; fault != "" && try < 4; try++ { // it gives up after seconds, which a busy machine may take for one answer
			t.Logf("%s: %s; again", k.name, fault)
			if k.nat.set != "" {
				w.in("nat-"+k.name, "nft", "flush set ip nat known")
			}
			fault = k.fault(w.netcheck(k.name, w.url).report())
		}
		if fault != "" {
			t.Errorf("%s: %s", k.name, fault)
		}
	}

	// Beside a running node its relay is not touched; afterwards its identity serves.
	n := w.join("cone", "--proxy-listen=off")
	eventually.Within(t, 30*time.Second, "the node has a relay, UDP to it, and STUN's answer", func() bool {
		s := n.status()
		return s.Relay != nil && s.Relay.Connected && s.Relay.UDP && s.Outside != nil
	})
	beside, code := w.netcheck("cone", "--state-dir="+n.state).report()
	if code != 0 || beside.Relay.State != netcheck.RelayConnected || beside.Relay.UDP != netcheck.Passes || beside.Node == nil || len(beside.Node.Outside) == 0 || !n.status().Relay.Connected {
		t.Errorf("beside the node: relay %+v, node %+v", beside.Relay, beside.Node)
	}
	n.stop(syscall.SIGTERM)
	after, code := w.netcheck("cone", "--state-dir="+n.state).report()
	if code != 0 || after.Relay.State != netcheck.RelayConnected || after.Relay.UDP != netcheck.Passes || after.Relay.RTT == 0 || after.Node != nil {
		t.Errorf("after the node: relay %+v, node %+v", after.Relay, after.Node)
	}
	w.reasons("sym", "sym2", "noudp")
}

// reasons joins two nodes behind symmetric NATs and one without UDP. Each must report why it
// uses the relay to the others.
func (w *world) reasons(one, two, blocked string) {
	w.t.Helper()
	nodes := map[string]*node{}
	for _, ns := range []string{one, two, blocked} {
		nodes[ns] = w.join(ns, "--proxy-listen=off")
	}
	wants := map[string]map[string][2]string{
		one:     {two: {localapi.ReasonBothNATsDepend, "both NATs are symmetric (mapping by destination)"}, blocked: {localapi.ReasonPeerUDPBlocked, blocked + "'s UDP is blocked"}},
		blocked: {one: {localapi.ReasonOwnUDPBlocked, "UDP is blocked here"}, two: {localapi.ReasonOwnUDPBlocked, "UDP is blocked here"}},
	}
	for ns, peers := range wants {
		var last []localapi.Peer
		eventually.Within(w.t, 60*time.Second, ns+" says why it uses the relay", func() bool {
			right := 0
			for peer := range peers {
				nodes[ns].cli(10*time.Second, "ping", "-c", "1", peer)
			}
			last = nodes[ns].status().Peers
			for _, p := range last {
				if want := peers[p.Name]; p.Path == "relay" && want == [2]string{p.Reason, p.Why} {
					right++
				}
			}
			return right == len(peers)
		})
		w.t.Logf("%s: %+v", ns, last)
	}
}
