package e2e

import (
	"strings"
	"testing"
	"time"

	"nexd/internal/eventually"
)

// TestALANAlone joins two nodes on one LAN and then cuts its uplink, so they have no
// internet, no service and no relay.
func TestALANAlone(t *testing.T) {
	t.Parallel() // mostly it waits
	w := &world{lab: newLab(t, "curl", "nft")}
	w.host("svc", "192.0.2.1/24")
	w.host("home", "192.0.2.31/24")
	w.masquerade("home")
	w.in("home", "ip", "link", "add", "lan", "type", "bridge")
	w.in("home", "ip", "link", "set", "lan", "up")
	w.in("home", "ip", "addr", "add", "10.1.0.1/24", "dev", "lan")
	for name, at := range map[string]string{"desk": "10.1.0.10/24", "shelf": "10.1.0.11/24"} {
		w.netns(name)
		w.link(name, "eth0", "home", "to-"+name, []string{at}, nil)
		w.in("home", "ip", "link", "set", "to-"+name, "master", "lan")
		w.in(name, "ip", "route", "add", "default", "via", "10.1.0.1")
	}
	w.container("c1", "shelf", "172.24.0.1/24", "172.24.0.10/24")
	w.serveContainer("c1")
	w.serveAll("192.0.2.1:8443")
	shelf := w.router("shelf", "172.24.0.0/24")
	desk := w.join("desk")
	eventually.Within(t, 30*time.Second, "desk knows where it is", func() bool { return desk.look().Outside != nil })

	w.in("home", "ip", "link", "set", "eth0", "down")
	fetch := func(what string) {
		t.Helper()
		begun := time.Now()
		desk.mustFetch("http://172.24.0.10/")
		promised(t, 5*time.Second, time.Since(begun), what)
		desk.untilPathTo("shelf", "direct", 5*time.Second)
		if _, at := desk.pathTo("shelf"); !strings.HasPrefix(at, "10.1.0.11:") {
			t.Errorf("%s: shelf is at %s", what, at)
		}
	}
	fetch("the first page after the uplink went down")
	f := desk.flow("172.24.0.10:7")
	eventually.Within(t, time.Minute, "both miss the relay", func() bool { return !desk.look().Relay.Connected && !shelf.look().Relay.Connected })
	promised(t, 2*time.Second, f.gap(), "losing the relay, longest silence")
	f.whole()
	// No path is trusted for so long without traffic.
	eventually.Stays(t, 10*time.Second, "there is no relay", func() bool { return !desk.look().Relay.Connected && !shelf.look().Relay.Connected })
	fetch("a page after a pause")
	desk.restart()
	fetch("a page after a restart")
	shelf.restart()
	fetch("a page after a restart of the other")
}
