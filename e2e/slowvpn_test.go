package e2e

import (
	"strings"
	"testing"
	"time"

	"nexd/internal/eventually"
)

// TestASlowSecondVPN joins two hosts by a fast path and by the private addresses of another VPN, with a
// round trip of 150 ms. The fast path is used, is left while it is down, and is used again.
func TestASlowSecondVPN(t *testing.T) {
	t.Parallel() // mostly it waits
	w := worldOfNetworks(t, map[string]string{
		"svc": "198.51.100.2/24 198.51.100.1", "a": "203.0.113.2/24 203.0.113.1", "b": "203.0.114.2/24 203.0.114.1",
	})
	w.secondVPN("a", "b")
	w.mustPing("a", "10.8.0.3")
	w.serveAll("198.51.100.2:8443")
	a := w.join("a")
	b := w.join("b")
	at := func(want string) func() bool {
		return func() bool {
			for from, to := range map[*node]string{a: "b", b: "a"} {
				from.cli(10*time.Second, "ping", "-c", "1", to)
				if path, addr := from.pathTo(to); path != "direct" || !strings.HasPrefix(addr, want) {
					return false
				}
			}
			return true
		}
	}
	eventually.Within(t, 15*time.Second, "the fast path", at("203.0."))
	eventually.Stays(t, 3*time.Second, "the fast path stays", at("203.0."))
	heal := w.stop(aToB)
	eventually.Within(t, 20*time.Second, "the VPN while the fast path is down", at("10.8.0."))
	heal()
	eventually.Within(t, 30*time.Second, "the fast path again", at("203.0."))
}
