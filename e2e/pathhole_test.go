package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// hole makes the router between the hosts drop UDP packets larger than size, without ICMP.
func (l *lab) hole(size int) {
	l.t.Helper()
	l.in("w", "nft", fmt.Sprintf("add table inet hole; add chain inet hole f { type filter hook forward priority 0; }; add rule inet hole f meta l4proto udp meta length > %d drop", size))
}

// smallLink gives a host a link of a small MTU, and makes the router drop fragments.
func (l *lab) smallLink(host string, mtu int) {
	l.t.Helper()
	l.in("w", "ip", "link", "set", "to-"+host, "mtu", fmt.Sprint(mtu))
	l.in(host, "ip", "link", "set", "eth0", "mtu", fmt.Sprint(mtu))
	l.in("w", "nft", "add table inet hole; add chain inet hole p { type filter hook prerouting priority -450; }; add rule inet hole p ip frag-off & 0x3fff != 0 drop; add rule inet hole p exthdr frag exists drop")
}

// TestSmallPathMTU has paths below the MTU of the mesh, in both modes: TCP and UDP pass soon after the
// path has shown its size, and status shows the size.
func TestSmallPathMTU(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		tun  bool
		make func(*world)
		most int // bytes of a packet inside that can pass
	}{
		{"TUN, hole at 1280", true, func(w *world) { w.hole(1280) }, 1220},
		{"TUN, link of 1400", true, func(w *world) { w.smallLink("near", 1400) }, 1340},
		{"rootless, hole at 1200", false, func(w *world) { w.hole(1200) }, 1140},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newRoutedWorld(t, "near", "far")
			var near *node
			if tt.tun {
				w.routerTUN("far", "172.22.0.0/24", "fd00:22::/64")
				near = w.routerTUN("near", "172.21.0.0/24", "fd00:21::/64")
			} else {
				w.router("far", "172.22.0.0/24", "fd00:22::/64")
				near = w.join("near", "-L", "7000:172.22.0.10:7/udp", "-L", "7006:[fd00:22::10]:7/udp")
			}
			if out, code := near.cli(40*time.Second, "ping", "--until-direct", "far"); code != 0 {
				t.Fatalf("exit %d: %s", code, out)
			}
			tt.make(w)
			if tt.tun {
				w.smallTUN(near)
			} else {
				w.moves("near", "http://172.22.0.10", 20<<20, 15*time.Second, "-x", near.socks5h())
				w.moves("near", "http://[fd00:22::10]", 2<<20, 15*time.Second, "-x", near.socks5h())
				w.echoes("near", "127.0.0.1:7000", 1200, 1345, 1392, 8000, 65507)
				w.echoes("near", "127.0.0.1:7006", 1200, 1345, 1372, 8000, 65507)
			}
			for _, p := range near.status().Peers {
				if p.Path != "direct" || p.Largest > tt.most || p.Largest < tt.most-100 {
					t.Errorf("the path is %s with packets up to %d bytes, want direct with a little less than %d", p.Path, p.Largest, tt.most)
				}
			}
		})
	}
}

// smallTUN moves data from a host in TUN mode and from a container behind it.
func (w *world) smallTUN(near *node) {
	far := near.addressOf("far")
	w.serveContainer("far")
	w.moves("near", "http://172.22.0.10", 20<<20, 15*time.Second)
	for _, from := range []string{"c-near", "near"} {
		w.moves(from, "http://172.22.0.10", 4<<20, 15*time.Second)
		w.moves(from, "http://[fd00:22::10]", 2<<20, 15*time.Second)
		w.echoes(from, "172.22.0.10:7", 1200, 1345, 1392, 8000)
		w.echoes(from, "[fd00:22::10]:7", 1200, 1345, 1372, 8000)
	}
	w.moves("near", "http://"+far, 4<<20, 15*time.Second)
	if out, code := w.tryAs("near", 10*time.Second, []string{"ping", "-n", "-M", "do", "-s", "1392", "-c", "1", "-W", "2", "172.22.0.10"}); code == 0 || !strings.Contains(out, "mtu") {
		w.t.Errorf("ping of 1420 bytes with DF: exit %d\n%s", code, out)
	}
}
