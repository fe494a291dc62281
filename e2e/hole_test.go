package e2e

import (
	"fmt"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"nexd/agent/localapi"
	"nexd/internal/eventually"
)

// swallow has the router between the hosts of newRoutedWorld drop what matches, except what goes to
// the service or comes from it. fill lets everything pass again.
func (w *world) swallow(match string) (fill func()) {
	w.in("w", "nft", "add table inet hole; add chain inet hole f { type filter hook forward priority 0; }; flush chain inet hole f; "+
		"add rule inet hole f meta nfproto ipv6 meta l4proto udp drop; "+ // IPv4 alone, so that sizes are known
		"add rule inet hole f ip saddr 10.0.0.0/24 accept; add rule inet hole f ip daddr 10.0.0.0/24 accept; "+
		"add rule inet hole f meta l4proto udp "+match+" counter drop")
	return func() {
		w.t.Helper()
		if out := w.in("w", "nft", "list chain inet hole f"); strings.Contains(out, "counter packets 0 ") {
			w.t.Errorf("nothing fell into the hole: %s", out)
		}
		w.in("w", "nft", "flush chain inet hole f")
	}
}

// toward is a node's peer.
func (n *node) toward(name string) localapi.Peer {
	n.w.t.Helper()
	for _, p := range n.look().Peers {
		if p.Name == name {
			return p
		}
	}
	n.w.t.Fatalf("no peer %s", name)
	return localapi.Peer{}
}

// whole downloads n bytes at a rate (0 = as fast as it goes) in the background. The returned func
// waits for the end.
func (l *lab) whole(ns, url string, n int64, rate string, limit time.Duration, args ...string) (wait func()) {
	begun := time.Now()
	script := fmt.Sprintf("curl -sS --max-time %d %s %s '%s/bytes?n=%d' | sha256sum", int(limit.Seconds()), rate, strings.Join(args, " "), url, n)
	p := l.start(ns, "whole-"+ns, nil, "sh", "-c", script)
	return func() {
		p.exit(limit + 5*time.Second)
		if out := p.log(); !strings.Contains(out, strings.Fields(patternSum(n))[0]) {
			l.t.Errorf("%s from %s: not whole after %v\n%s", url, ns, time.Since(begun), out)
			return
		}
		l.t.Logf("%s from %s: whole after %v", url, ns, time.Since(begun))
	}
}

// TestPathsThatSwallowData has direct paths that answer probes and lose data: from the start and in
// the middle of a transfer, in both modes.
func TestPathsThatSwallowData(t *testing.T) {
	t.Parallel()
	w := newRoutedWorld(t, "near", "far", "guest", "free")
	fill := w.swallow("meta length > 1400")
	far := w.routerTUN("far", "172.22.0.0/24")
	free := w.router("free", "172.24.0.0/24")
	near := w.joinTUN("near")
	guest := w.join("guest")

	// From the start.
	var all sync.WaitGroup
	for _, n := range []string{"22", "24"} {
		all.Go(func() { w.moves("near", "http://172."+n+".0.10", 8<<20, 15*time.Second) })
		all.Go(func() { w.moves("guest", "http://172."+n+".0.10", 8<<20, 15*time.Second, "-x", guest.socks5h()) })
	}
	all.Wait()
	for _, n := range []*node{near, guest} {
		for _, peer := range []string{"far", "free"} {
			if p := n.toward(peer); p.Path != "direct" || p.Largest != 1328 || p.Limited.IsZero() || !strings.Contains(p.Why, "1328") {
				t.Errorf("%s to %s: %+v", n.name, peer, p)
			}
		}
	}

	// In the middle of a transfer, a smaller one.
	var waits []func()
	start := func(rate string) {
		for _, n := range []string{"22", "24"} {
			waits = append(waits, w.whole("near", "http://172."+n+".0.10", 10<<20, rate, 25*time.Second),
				w.whole("guest", "http://172."+n+".0.10", 10<<20, rate, 25*time.Second, "-x", guest.socks5h()))
		}
	}
	wait := func() {
		for _, f := range waits {
			f()
		}
		waits = nil
	}
	before := guest.toward("free").RxBytes
	start("--limit-rate 2M")
	eventually.Within(t, 10*time.Second, "data flows", func() bool { return guest.toward("free").RxBytes > before+2<<20 })
	fill()
	fill = w.swallow("meta length > 1300")
	wait()
	fill()

	// Only data is dropped, in one direction: type 4 and more than 96 bytes.
	start("--limit-rate 2M")
	eventually.Within(t, 10*time.Second, "data flows", func() bool { return guest.toward("free").RxBytes > before+12<<20 })
	fill = w.swallow("iifname { to-far, to-free } @th,64,32 0x04000000 meta length > 124")
	wait()
	for _, r := range []*node{far, free} {
		if p := r.toward("near"); p.Path != "relay" || p.Limited.IsZero() || !strings.Contains(p.Why, "data does not pass") {
			t.Errorf("%s to near: %+v", r.name, p)
		}
	}
	fill()
}

// TestPathsThatSwallowRuns has paths, direct and to the relay, that drop what leaves as a run (UDP
// segmentation offload) and let the same packets pass one by one.
func TestPathsThatSwallowRuns(t *testing.T) {
	t.Parallel()
	w := newRoutedWorld(t, "near", "far", "guest")
	for _, h := range []string{"svc", "near", "far", "guest"} {
		w.in(h, "ip", "link", "set", "eth0", "gso_max_segs", "65535")
		w.in("w", "ip", "link", "set", "to-"+h, "gso_max_segs", "65535")
	}
	w.svc.stop(syscall.SIGTERM)
	w.serveArgs = []string{"--stun-listen=10.0.0.2:3478"}
	w.serve()
	w.routerTUN("far", "172.22.0.0/24")
	near := w.joinTUN("near")
	guest := w.join("guest")
	runs := func(rules string) {
		w.in("w", "nft", "add table inet hole; add chain inet hole f { type filter hook forward priority 0; }; flush chain inet hole f; add rule inet hole f meta nfproto ipv6 meta l4proto udp drop; "+
			rules+"add rule inet hole f meta l4proto udp meta length > 1500 counter drop")
	}
	transfers := func() {
		a := w.whole("near", "http://172.22.0.10", 8<<20, "--limit-rate 3M", 20*time.Second)
		b := w.whole("guest", "http://172.22.0.10", 8<<20, "--limit-rate 3M", 20*time.Second, "-x", guest.socks5h())
		a()
		b()
	}
	runs("")
	transfers()
	if p := near.toward("far"); p.Path != "direct" {
		t.Errorf("near to far: %+v", p)
	}
	runs("add rule inet hole f ip saddr != 10.0.0.2 ip daddr != 10.0.0.2 meta l4proto udp counter drop; ")
	transfers()
	if p := near.toward("far"); p.Path != "relay" {
		t.Errorf("near to far: %+v", p)
	}
	if out := w.in("w", "nft", "list chain inet hole f"); strings.Contains(out, "counter packets 0 ") {
		t.Errorf("no runs were dropped: %s", out)
	}
}
