package gateway

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"nexd/internal/eventually"
	"nexd/internal/leak"
	"nexd/internal/nstest"
	"nexd/mesh"
)

// docker0 is a container on a bridge of the router's.
func docker0(t *testing.T) *node {
	return container(t, "br-a", "172.24.0.1/24", "172.24.0.10/24", "fd24::1/64", "fd24::10/64")
}

func TestForwardsBothWaysAndKeepsSources(t *testing.T) {
	isolated(t)
	l := newLab(t)
	c := docker0(t)
	before := snapshot(t)
	c.whoami("[::]:80")
	l.peer.whoami("[::]:80")
	if l.peer.pings("172.24.0.10") || l.peer.pings("fd24::10") {
		t.Fatal("the container answers without a gateway")
	}
	g := l.gateway(t, Auto, "172.24.0.0/24", "fd24::/64")
	for _, s := range g.Status() {
		if s.SNAT || s.Interface != "br-a" || s.Problem != "" || !strings.Contains(s.Why, "gateway") {
			t.Errorf("status %+v", s)
		}
	}
	for _, try := range []struct {
		who      *node
		to, seen string
	}{
		{l.peer, "172.24.0.10", "100.64.0.3"},
		{l.peer, "fd24::10", "fd64::3"},
		{c, "100.64.0.3", "172.24.0.10"},
		{c, "fd64::3", "fd24::10"},
	} {
		if !try.who.pings(try.to) {
			t.Errorf("%s does not answer a ping", try.to)
		}
		if got := try.who.ask(hostPort(try.to)); got != try.seen {
			t.Errorf("%s was called by %q, want %s", try.to, got, try.seen)
		}
	}
	if err := g.Set(advertised(t, "fd24::/64"), pools); err != nil {
		t.Fatal(err)
	}
	if l.peer.pings("172.24.0.10") {
		t.Error("a prefix that was taken away still answers")
	}
	if !l.peer.pings("fd24::10") {
		t.Error("taking one prefix away took the other, too")
	}
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	same(t, "after Close", before, snapshot(t))
	if entries, _ := os.ReadDir(l.dir); len(entries) != 0 {
		t.Errorf("left in the state directory: %v", entries)
	}
}

func hostPort(addr string) string {
	if strings.Contains(addr, ":") {
		return "[" + addr + "]:80"
	}
	return addr + ":80"
}

// A LAN's hosts have another gateway, and no route back.
func TestMasqueradesIntoALAN(t *testing.T) {
	isolated(t)
	l := newLab(t)
	lan := newNode(t)
	lan.join("eth9")
	run(t, "ip addr add 192.168.77.5/24 dev eth9; ip addr add fd77::5/64 dev eth9 nodad")
	lan.run("ip addr add 192.168.77.10/24 dev eth0; ip addr add fd77::10/64 dev eth0 nodad")
	lan.whoami("[::]:80")
	for _, try := range []struct {
		snat       Mode
		seen, six  string
		masquerade bool
	}{
		{Auto, "192.168.77.5", "fd77::5", true},
		{On, "192.168.77.5", "fd77::5", true},
		{Off, "", "", false},
	} {
		g := l.gateway(t, try.snat, "192.168.77.0/24", "fd77::/64")
		if got := l.peer.ask("192.168.77.10:80"); got != try.seen {
			t.Errorf("SNAT %v: called by %q, want %q", try.snat, got, try.seen)
		}
		if got := l.peer.ask("[fd77::10]:80"); got != try.six {
			t.Errorf("SNAT %v: called by %q, want %q", try.snat, got, try.six)
		}
		if s := g.Status()[0]; s.SNAT != try.masquerade || s.Interface != "eth9" {
			t.Errorf("status %+v", s)
		}
		if err := g.Close(); err != nil {
			t.Fatal(err)
		}
	}
	c := docker0(t)
	c.whoami(":80")
	l.gateway(t, On, "172.24.0.0/24")
	if got := l.peer.ask("172.24.0.10:80"); got != "172.24.0.1" {
		t.Errorf("SNAT on: the container was called by %q", got)
	}
}

// Two hosts with one and the same network of Docker's: this is the one, the peer
// stands for the other and has the same addresses behind it.
func TestMapsPrefixes(t *testing.T) {
	isolated(t)
	l := newLab(t)
	c := container(t, "br-a", "172.17.0.1/16", "172.17.0.5/16", "fd17::1/64", "fd17::5/64")
	c.whoami("[::]:80")
	l.peer.whoami("[::]:80")
	before := snapshot(t)
	// Docker's own rule must not come first
	run(t, "nft 'add table ip nat; add chain ip nat POSTROUTING { type nat hook postrouting priority 100; }; add rule ip nat POSTROUTING oifname != br-a ip saddr 172.17.0.0/16 masquerade'")
	g := l.gateway(t, Auto, "10.201.0.0/16=172.17.0.0/16", "fd99::/64=fd17::/64")
	for _, try := range []struct {
		who      *node
		to, seen string
	}{
		{l.peer, "10.201.0.5", "100.64.0.3"},
		{l.peer, "fd99::5", "fd64::3"},
		{c, "100.64.0.3", "10.201.0.5"},
		{c, "fd64::3", "fd99::5"},
	} {
		if got := try.who.ask(hostPort(try.to)); got != try.seen {
			t.Errorf("%s was called by %q, want %s", try.to, got, try.seen)
		}
		if !try.who.pings(try.to) {
			t.Errorf("%s does not answer a ping", try.to)
		}
	}
	for _, raw := range []string{"172.17.0.5", "fd17::5"} {
		if l.peer.pings(raw) {
			t.Errorf("%s answers by its local address", raw)
		}
	}
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	run(t, "nft delete table ip nat")
	same(t, "after Close", before, snapshot(t))
}

// A peer whose tunnel/filter was bypassed gets nowhere else, although the whole
// host forwards.
func TestNothingElseIsForwarded(t *testing.T) {
	isolated(t)
	l := newLab(t)
	docker0(t)
	other := container(t, "br-b", "172.25.0.1/24", "172.25.0.10/24", "fd25::1/64", "fd25::10/64")
	cloud := newNode(t)
	cloud.join("eth8")
	run(t, "ip addr add 192.168.88.1/24 dev eth8; ip route add 169.254.169.254 dev eth8; ip route add default via 192.168.88.9")
	cloud.run("ip addr add 192.168.88.9/24 dev eth0; ip addr add 169.254.169.254/32 dev eth0; ip addr add 198.51.100.9/32 dev eth0; ip route add default via 192.168.88.1")
	run(t, "echo 1 > /proc/sys/net/ipv4/conf/all/forwarding; echo 1 > /proc/sys/net/ipv6/conf/all/forwarding")
	defer run(t, "echo 0 > /proc/sys/net/ipv4/conf/all/forwarding; echo 0 > /proc/sys/net/ipv6/conf/all/forwarding")
	forbidden := []string{"192.168.88.9", "192.168.88.1", "169.254.169.254", "198.51.100.9", "172.25.0.10", "172.25.0.1", "fd25::10", "fd25::1"}
	for _, to := range forbidden {
		if !l.peer.pings(to) {
			t.Errorf("%s does not answer without a gateway: the test shows nothing", to)
		}
	}
	l.gateway(t, Auto, "172.24.0.0/24", "fd24::/64")
	for _, to := range forbidden {
		if l.peer.pings(to) {
			t.Errorf("%s answers", to)
		}
	}
	for _, to := range []string{"172.24.0.10", "172.24.0.1", "fd24::10", "100.64.0.1", "fd64::1"} {
		if !l.peer.pings(to) {
			t.Errorf("%s does not answer", to)
		}
	}
	// what is not advertised calls out as the host, and gets its answers
	run(t, "nft 'add table ip nat; add chain ip nat POSTROUTING { type nat hook postrouting priority 100; }; add rule ip nat POSTROUTING oifname != br-b ip saddr 172.25.0.0/24 masquerade'")
	l.peer.whoami(":80")
	if got := other.ask("100.64.0.3:80"); got != "100.64.0.1" {
		t.Errorf("a container that is not advertised calls as %q, want the host", got)
	}
}

// Own addresses on lo answer; what is not there is not sent to the default gateway.
func TestLoopbackVariant(t *testing.T) {
	isolated(t)
	l := newLab(t)
	run(t, "ip addr add 172.26.0.10/32 dev lo; ip addr add fd26::10/128 dev lo")
	defer run(t, "ip addr del 172.26.0.10/32 dev lo; ip addr del fd26::10/128 dev lo")
	g := l.gateway(t, Auto, "172.26.0.0/24", "fd26::/64")
	for _, to := range []string{"172.26.0.10", "fd26::10"} {
		if !l.peer.pings(to) {
			t.Errorf("%s does not answer", to)
		}
	}
	if s := g.Status()[0]; s.Interface != "lo" || s.SNAT || s.Problem != "" {
		t.Errorf("status %+v", s)
	}
}

func TestClampsSegmentSizes(t *testing.T) {
	isolated(t)
	l := newLab(t)
	c := docker0(t)
	l.gateway(t, Auto, "172.24.0.0/24", "fd24::/64")
	const mtu = 1300 // of wg0
	for _, try := range []struct {
		from, at *node
		to       string
		want     int
	}{
		{c, l.peer, "100.64.0.3", mtu - 40},
		{c, l.peer, "fd64::3", mtu - 60},
		{l.peer, c, "172.24.0.10", mtu - 40}, // the peer's own MTU is 1500: our route back counts
		{l.peer, c, "fd24::10", mtu - 60},
	} {
		if got := synSize(t, try.at, func() { try.from.ask(hostPort(try.to)) }); got != try.want {
			t.Errorf("SYN to %s: segment size %d, want %d", try.to, got, try.want)
		}
	}
}

// The network may come after the gateway, as when Docker starts after nexd.
func TestFollowsTheHost(t *testing.T) {
	leak.Check(t)
	isolated(t)
	l := newLab(t)
	g := l.gateway(t, Auto, "172.24.0.0/24")
	if s := g.Status()[0]; s.Problem == "" {
		t.Errorf("no problem without the network: %+v", s)
	}
	running(t, g)
	docker0(t)
	eventually.Within(t, 5*time.Second, "the container answers", func() bool { return l.peer.pings("172.24.0.10") })
	eventually.Within(t, 30*time.Second, "the status says so", func() bool { // a moment after the rules are there
		s := g.Status()[0]
		return s.Problem == "" && s.Interface == "br-a"
	})
	run(t, "nft flush ruleset")
	eventually.Within(t, 5*time.Second, "the table is back", func() bool {
		return exec.Command("nft", "list", "chain", "inet", "nexd-wg0", "arrive").Run() == nil
	})
}

// Setting the same again touches nothing: counters and flows go on.
func TestSetIsIdempotent(t *testing.T) {
	isolated(t)
	l := newLab(t)
	docker0(t)
	g := l.gateway(t, Auto, "172.24.0.0/24")
	handles := func() string { return run(t, "nft -a list table inet nexd-wg0") }
	before := handles()
	if err := g.Set(advertised(t, "172.24.0.0/24"), pools); err != nil {
		t.Fatal(err)
	}
	if after := handles(); before != after {
		t.Errorf("the table was replaced:\n%s\n%s", before, after)
	}
	if err := g.Set([]mesh.Advertisement{{}}, pools); mesh.KindOf(err) != mesh.Invalid {
		t.Errorf("no prefix: %v", err)
	}
	if err := g.Set(advertised(t, "100.64.0.0/24"), pools); mesh.KindOf(err) != mesh.Invalid {
		t.Errorf("part of the pool: %v", err)
	}
}

// A connection through masquerading and mapping outlives a restart.
func TestRestartKeepsFlows(t *testing.T) {
	isolated(t)
	l := newLab(t)
	c := container(t, "br-a", "172.17.0.1/16", "172.17.0.5/16", "fd17::1/64", "fd17::5/64")
	g := l.gateway(t, On, "10.201.0.0/16=172.17.0.0/16")
	talk := l.peer.talk(t, c, "172.17.0.5:81", "10.201.0.5:81")
	talk("before")
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	l.gateway(t, On, "10.201.0.0/16=172.17.0.0/16")
	talk("after")
}

func TestKilledAndCleaned(t *testing.T) {
	isolated(t)
	l := newLab(t)
	docker0(t)
	run(t, "echo 1 > /proc/sys/net/ipv4/conf/all/rp_filter")
	defer run(t, "echo 0 > /proc/sys/net/ipv4/conf/all/rp_filter")
	run(t, "nft 'add table ip filter; add chain ip filter FORWARD { type filter hook forward priority 0; policy drop; }; add chain ip filter DOCKER-USER; add rule ip filter FORWARD jump DOCKER-USER; add rule ip filter DOCKER-USER counter return'")
	before := snapshot(t)
	kill := func() {
		t.Helper()
		nstest.Victim(t, l.dir)()
		if now := snapshot(t); now == before {
			t.Error("the victim has left nothing")
		}
		if !l.peer.pings("172.24.0.10") {
			t.Error("what the killed one has left does not work")
		}
	}
	kill()
	did, err := Clean("wg0", l.dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(did) < 5 {
		t.Errorf("cleaned only %q", did)
	}
	same(t, "after Clean", before, snapshot(t))
	if did, err := Clean("wg0", l.dir); err != nil || len(did) != 0 {
		t.Errorf("a second Clean: %v %v", did, err)
	}
	kill()
	g := l.gateway(t, Auto, "172.24.0.0/24")
	if n := strings.Count(run(t, "nft list chain ip filter DOCKER-USER"), `comment "nexd wg0`); n != 2 {
		t.Errorf("%d rules in Docker's chain, want 2", n)
	}
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	same(t, "after a kill, a start and a stop", before, snapshot(t))
}

// What was left under another name is found: who lives has its interface.
func TestOrphansAreFound(t *testing.T) {
	isolated(t)
	l := newLab(t)
	docker0(t)
	before := snapshot(t)
	g, err := New(Config{Interface: "gone0", StateDir: l.dir})
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Set(advertised(t, "172.24.0.0/24"), pools); err != nil { // and no Close: it was killed
		t.Fatal(err)
	}
	living := l.gateway(t, Auto, "fd24::/64")
	for _, what := range []string{"rules and journal", "the journal alone"} {
		if names, err := Orphans(l.dir); err != nil || len(names) != 1 || names[0] != "gone0" {
			t.Errorf("%s: orphans %q (%v), want gone0 alone", what, names, err)
		}
		run(t, "nft 'add table inet nexd-gone0; delete table inet nexd-gone0'")
	}
	if did, err := Clean("gone0", l.dir); err != nil || len(did) == 0 {
		t.Errorf("cleaned %q (%v)", did, err)
	}
	if names, err := Orphans(l.dir); err != nil || len(names) != 0 {
		t.Errorf("orphans %q (%v) after Clean", names, err)
	}
	if err := living.Close(); err != nil {
		t.Fatal(err)
	}
	same(t, "after Clean and Close", before, snapshot(t))
}

// Before Linux 6.17 IPv6 has one switch for the whole host.
func TestOldKernelsForwardIPv6(t *testing.T) {
	isolated(t)
	l := newLab(t)
	docker0(t)
	uplink := newNode(t)
	uplink.join("eth7")
	run(t, "echo 1 > /proc/sys/net/ipv6/conf/eth7/accept_ra; echo 0 > /proc/sys/net/ipv6/conf/br-a/accept_ra")
	before := snapshot(t)
	g, err := New(Config{Interface: "wg0", StateDir: l.dir})
	if err != nil {
		t.Fatal(err)
	}
	g.perInterface = false
	for range 2 {
		if err := g.Set(advertised(t, "fd24::/64"), pools); err != nil {
			t.Fatal(err)
		}
		g, err = New(Config{Interface: "wg0", StateDir: l.dir}) // as after a kill
		if err != nil {
			t.Fatal(err)
		}
		g.perInterface = false
	}
	if got, _ := readSwitch("ipv6/conf/eth7/accept_ra"); got != "2" {
		t.Errorf("accept_ra of the uplink is %s", got)
	}
	if !l.peer.pings("fd24::10") {
		t.Error("the container does not answer")
	}
	if err := g.Set(advertised(t, "fd24::/64"), pools); err != nil {
		t.Fatal(err)
	}
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	same(t, "after Close", before, snapshot(t))
}

// Docker, started after us, wants the whole host to forward: that stays.
func TestLeavesWhatOthersSwitchedOn(t *testing.T) {
	isolated(t)
	l := newLab(t)
	docker0(t)
	g := l.gateway(t, Auto, "172.24.0.0/24")
	run(t, "echo 1 > /proc/sys/net/ipv4/ip_forward")
	defer run(t, "echo 0 > /proc/sys/net/ipv4/ip_forward")
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	if got, _ := readSwitch("ipv4/conf/br-a/forwarding"); got != "1" {
		t.Errorf("forwarding of the bridge is %s", got)
	}
}

func TestJournalOfAnotherBootIsForgotten(t *testing.T) {
	dir := t.TempDir()
	for _, text := range []string{
		`{"where":"another boot","entries":[{"path":"ipv4/conf/lo/forwarding","before":"0","value":"1"}]}`,
		`{"where":`,
	} {
		if err := os.WriteFile(journalPath(dir, "wg0"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if j, err := openJournal(dir, "wg0"); err != nil || len(j.Entries) != 0 {
			t.Errorf("%s: %v %v", text, j, err)
		}
	}
	for path, want := range map[string]bool{"ipv4/conf/eth0/forwarding": true, "ipv4/conf/../forwarding": false, "ipv4/conf/../../../x": false, "core/x": false, "ipv4/conf/a/b/c": false} {
		if safePath(path) != want {
			t.Errorf("safePath(%s) = %v", path, !want)
		}
	}
}

func FuzzJournal(f *testing.F) {
	f.Add([]byte(`{"where":"x","entries":[{"path":"ipv4/conf/lo/forwarding"}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		dir := t.TempDir()
		if err := os.WriteFile(journalPath(dir, "wg0"), b, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := openJournal(dir, "wg0"); err != nil {
			t.Fatal(err)
		}
	})
}

func ExampleParseMode() {
	m, err := ParseMode("auto")
	fmt.Println(m, err)
	_, err = ParseMode("maybe")
	fmt.Println(err)
	// Output:
	// auto <nil>
	// gateway: SNAT mode "maybe" must be auto, on or off
}
