package e2e

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"nexd/internal/eventually"
)

// TestStatusNeverCallsASilentPeerWell sends to a peer that is gone, or that a firewall keeps away, with
// and without a relay: within 10 s status says what, since when, why and the way out, and status --check
// fails. When the peer is back, nothing of it is left.
func TestStatusNeverCallsASilentPeerWell(t *testing.T) {
	t.Parallel() // mostly it waits
	for name, relay := range map[string][]string{"relay": nil, "no relay": {"--relay=off"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := worldOfNetworks(t, map[string]string{
				"svc": "198.51.100.2/24 198.51.100.1", "a": "203.0.113.2/24 203.0.113.1", "b": "203.0.114.2/24 203.0.114.1",
			})
			w.bootstrapAt("198.51.100.2:8443")
			w.serveArgs = append([]string{"--stun-listen=198.51.100.2:3478", "--stun-listen=198.51.100.2:3479"}, relay...)
			w.serve()
			a, b := w.join("a"), w.join("b")
			a.untilAnswered("b", 15*time.Second)
			line := func() string {
				for _, h := range a.look().Health {
					if strings.HasPrefix(h, "b does not answer: ") {
						return h
					}
				}
				return ""
			}
			check := func(what string, wants ...string) {
				t.Helper()
				began := time.Now()
				eventually.Within(t, 20*time.Second, what, func() bool {
					a.cli(2*time.Second, "ping", "-c", "1", "-W", "300ms", "b")
					return line() != ""
				})
				promised(t, 10*time.Second, time.Since(began), what)
				got := line()
				for _, want := range wants {
					if !strings.Contains(got, want) {
						t.Errorf("%s: %q does not say %q", what, got, want)
					}
				}
				if path, _ := a.pathTo("b"); path != "none" {
					t.Errorf("%s: the path is called %s", what, path)
				}
				if out, code := a.cli(5*time.Second, "status", "--check"); code != 1 || !strings.Contains(out, "b does not answer since ") {
					t.Errorf("%s: status --check: exit code %d: %s", what, code, out)
				}
			}
			back := func() {
				t.Helper()
				a.untilAnswered("b", 20*time.Second)
				eventually.Within(t, 5*time.Second, "the line goes", func() bool { return line() == "" })
				if out, code := a.cli(5*time.Second, "status", "--check"); code != 0 {
					t.Errorf("back, but status --check: exit code %d: %s", code, out)
				}
			}
			b.stop(syscall.SIGKILL)
			check("b is killed", "it is not connected to the service either", "start nexd there")
			b.launch()
			back()
			rules, what, why := []string{aToB}, "b is behind a firewall", "no address answers"
			if relay == nil { // what comes by the relay is dropped, too
				rules = []string{"ip saddr 203.0.114.2 meta l4proto udp", "ip saddr 203.0.114.2 tcp flags & (fin|syn|rst) == 0x0 meta length > 52"}
				what, why = "b is cut off", "netcheck"
			}
			heal := w.stop(rules...)
			check(what, why)
			heal()
			back()
		})
	}
}
