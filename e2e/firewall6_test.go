package e2e

import (
	"fmt"
	"net/netip"
	"testing"
	"time"
)

// onlyAnswers6 is the firewall of a network with public IPv6 addresses, as in home routers:
// it translates nothing and admits only replies.
const onlyAnswers6 = `table ip6 fw {
  chain f { type filter hook forward priority 0; ct state established,related accept; iifname eth0 drop; }
  chain in { type filter hook input priority 0; meta l4proto ipv6-icmp accept; iifname eth0 ct state new drop; }
}`

// TestFirewallsOnIPv6 has no IPv4, and a firewall in front of both nodes.
func TestFirewallsOnIPv6(t *testing.T) {
	t.Parallel()
	w := &world{lab: newLab(t, "curl", "nft")}
	w.host("svc", "2001:db8::1/64")
	at := map[string]string{}
	for i, name := range []string{"alice", "bob"} {
		n := 31 + i
		at[name] = fmt.Sprintf("2001:db8:%d::10", n)
		w.host("fw-"+name, fmt.Sprintf("2001:db8::%d/64", n))
		w.container(name, "fw-"+name, fmt.Sprintf("2001:db8:%d::1/64", n), at[name]+"/64")
		w.in("fw-"+name, "sh", "-c", "echo 1 > /proc/sys/net/ipv6/conf/all/forwarding")
		w.in("fw-"+name, "nft", onlyAnswers6)
		w.in("fw-"+name, "ip", "route", "add", fmt.Sprintf("2001:db8:%d::/64", 63-n), "via", fmt.Sprintf("2001:db8::%d", 63-n))
		w.in("svc", "ip", "route", "add", fmt.Sprintf("2001:db8:%d::/64", n), "via", fmt.Sprintf("2001:db8::%d", n))
	}
	w.container("c1", "bob", "172.24.0.1/24", "172.24.0.10/24")
	w.serveContainer("c1")
	w.serveAll("[2001:db8::1]:8443")
	alice, bob := w.couple()
	for _, n := range []*node{alice, bob} {
		s := n.status()
		if want := netip.AddrPortFrom(netip.MustParseAddr(at[n.ns]), uint16(s.Node.Port)).String(); len(s.Outside.Addresses) != 1 || s.Outside.Addresses[0].String() != want || s.Outside.Depends {
			t.Errorf("STUN shows %s as %+v, want %s", n.ns, s.Outside, want)
		}
	}
	begun := time.Now()
	if out, code := alice.cli(40*time.Second, "ping", "--until-direct", bob.name4); code != 0 {
		t.Fatalf("nexd ping --until-direct: exit code %d\n%s", code, out)
	}
	t.Logf("direct after %v", time.Since(begun))
	d := alice.download(5*steady, steady)
	for _, name := range []string{"alice", "bob"} {
		if err := w.forget("fw-" + name); err != nil {
			t.Fatal(err)
		}
	}
	d.whole(2 * time.Minute)
	for n, peer := range map[*node]string{alice: "bob", bob: "alice"} {
		n.untilPathTo(peer, "direct", 30*time.Second)
		if _, got := n.pathTo(peer); netip.MustParseAddrPort(got).Addr().String() != at[peer] {
			t.Errorf("%s reaches %s at %s, want %s", n.ns, peer, got, at[peer])
		}
	}
}
