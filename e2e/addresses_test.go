package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"nexd/internal/eventually"
	"nexd/netcheck"
)

// TestAnswersLeaveFromTheAddressThatWasAsked asks a service and nodes at addresses that their
// routes would not select: the second one of an interface, one on lo, and the one of a second
// uplink. NATs and stateful firewalls drop answers from any other.
func TestAnswersLeaveFromTheAddressThatWasAsked(t *testing.T) {
	t.Parallel() // mostly it waits
	w := &world{lab: newLab(t, "curl", "nft")}
	const floating = "198.51.100.1"
	w.host("svc", "192.0.2.1/24", "192.0.2.2/24")
	w.in("svc", "ip", "addr", "add", floating+"/32", "dev", "lo")
	w.home("alice", 31, portRestricted)
	w.in("nat-alice", "ip", "route", "add", floating, "via", "192.0.2.1")

	// A firewall lets only the second address of second in and out, except to the service.
	w.host("gate", "192.0.2.40/24")
	w.container("second", "gate", "203.0.113.1/24", "203.0.113.10/24")
	w.in("second", "ip", "addr", "add", "203.0.113.20/24", "dev", "eth0")
	w.in("gate", "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")
	w.in("gate", "nft", "add table ip gate; add chain ip gate f { type filter hook forward priority 0; policy drop; };"+
		" add rule ip gate f ct state established,related accept; add rule ip gate f ip saddr 203.0.113.20 accept;"+
		" add rule ip gate f ip daddr 192.0.2.2 accept; add rule ip gate f ip daddr 203.0.113.20 udp dport 51820 accept")
	for _, ns := range []string{"svc", "nat-alice"} {
		w.in(ns, "ip", "route", "add", "203.0.113.0/24", "via", "192.0.2.40")
	}

	// The first uplink of uplinks carries only the service's traffic, the second passes a port on.
	for i, box := range []string{"up1", "up2"} {
		w.host(box, fmt.Sprintf("192.0.2.%d/24", 51+i))
	}
	w.container("uplinks", "up1", "10.9.1.1/24", "10.9.1.10/24")
	w.link("uplinks", "eth1", "up2", "to-uplinks", []string{"10.9.2.10/24"}, []string{"10.9.2.1/24"})
	w.in("uplinks", "ip", "route", "add", "default", "via", "10.9.2.1", "table", "102")
	w.in("uplinks", "ip", "rule", "add", "from", "10.9.2.10", "lookup", "102")
	w.masquerade("up1")
	w.masquerade("up2")
	w.in("up1", "nft", "add table ip only; add chain ip only f { type filter hook forward priority 0; }; add rule ip only f ip daddr != 192.0.2.2 ip saddr != 192.0.2.2 drop")
	w.in("up2", "nft", "add chain ip nat pre { type nat hook prerouting priority -100; }; add rule ip nat pre iifname eth0 udp dport 51820 dnat to 10.9.2.10")

	w.bootstrapAt("192.0.2.2:8443")
	w.serveArgs = []string{"--stun-listen=:3478", "--stun-listen=:3479"}
	w.serve()

	for _, url := range []string{w.url, strings.Replace(w.url, "192.0.2.2", floating, 1)} {
		if r, code := w.netcheck("alice", url).report(); code != 0 || r.UDP != netcheck.Passes {
			t.Errorf("%s: UDP %s (%s), exit code %d", url, r.UDP, r.UDPWhy, code)
		}
	}
	floats := w.with(t)
	floats.url = strings.Replace(w.url, "192.0.2.2", floating, 1)
	alice := floats.join("alice")
	w.join("second", "--listen-port=51820", "--advertise-endpoint=203.0.113.20:51820", "--proxy-listen=off")
	w.join("uplinks", "--listen-port=51820", "--advertise-endpoint=192.0.2.52:51820", "--proxy-listen=off")
	eventually.Within(t, 10*time.Second, "alice sees the relay over UDP and its outside address", func() bool {
		s := alice.status()
		return s.Relay != nil && s.Relay.Connected && s.Relay.UDP && s.Outside != nil
	})
	for peer, at := range map[string]string{"second": "203.0.113.20:51820", "uplinks": "192.0.2.52:51820"} {
		if out, code := alice.cli(40*time.Second, "ping", "--until-direct", peer); code != 0 {
			t.Errorf("%s is not direct:\n%s", peer, out)
		} else if _, endpoint := alice.pathTo(peer); endpoint != at {
			t.Errorf("%s is at %s, not at %s", peer, endpoint, at)
		}
	}
}
