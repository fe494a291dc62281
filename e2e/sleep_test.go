package e2e

import (
	"syscall"
	"testing"
	"time"

	"nexd/internal/eventually"
)

// TestSleepAndALostRoute stops a node for longer than it trusts its path, and then removes
// its default route for a while. The download continues each time, and the socket keeps its
// port.
func TestSleepAndALostRoute(t *testing.T) {
	t.Parallel() // it waits
	w := newNATWorld(t, portRestricted, noNAT)
	alice, bob := w.couple()
	port := alice.status().Node.Port
	d := alice.download(30*steady, steady)
	alice.untilPath("direct", 10*time.Second)
	back := func(what string) {
		t.Helper()
		answered := alice.untilAnswered(bob.name4, 30*time.Second)
		t.Logf("%s: answers after %v, direct %v later", what, answered, alice.untilPath("direct", 30*time.Second))
		if now := alice.status().Node.Port; now != port {
			t.Errorf("%s: the port is %d, was %d", what, now, port)
		}
	}

	alice.cmd.Process.Signal(syscall.SIGSTOP)
	eventually.Stays(t, 8*time.Second, "the download is not over", func() bool { return d.have() < d.size })
	alice.cmd.Process.Signal(syscall.SIGCONT)
	back("awake")

	w.in("alice", "ip", "route", "del", "default")
	silent := func() bool {
		_, code := alice.cli(5*time.Second, "ping", "-c", "1", "-W", "500ms", bob.name4)
		return code != 0
	}
	eventually.Within(t, 10*time.Second, "nobody answers", silent)
	eventually.Stays(t, 3*time.Second, "nobody answers", silent)
	w.in("alice", "ip", "route", "add", "default", "via", "10.1.0.1")
	back("default route back")
	d.whole(2 * time.Minute)
}
