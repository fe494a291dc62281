package e2e

import (
	"bytes"
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"
)

// newRoutedWorld has hosts whose only way to each other is a router, and a container behind each.
func newRoutedWorld(t *testing.T, hosts ...string) *world {
	t.Helper()
	w := &world{lab: newLab(t, "curl", "nft", "ping")}
	w.netns("w")
	w.in("w", "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/ipv6/conf/all/forwarding")
	for i, h := range append([]string{"svc"}, hosts...) {
		w.container(h, "w", fmt.Sprintf("10.%d.0.1/24", i), fmt.Sprintf("10.%d.0.2/24", i), fmt.Sprintf("2001:db8:%d::1/64", i), fmt.Sprintf("2001:db8:%d::2/64", i))
		w.in(h, "ip", "link", "set", "eth0", "gso_max_segs", "1")
		w.in("w", "ip", "link", "set", "to-"+h, "gso_max_segs", "1")
		if i == 0 {
			continue
		}
		net := 20 + i
		w.bridge(h, "cbr0", fmt.Sprintf("172.%d.0.1/24", net), fmt.Sprintf("fd00:%d::1/64", net))
		w.bridged("c-"+h, h, "cbr0", []string{fmt.Sprintf("172.%d.0.10/24", net), fmt.Sprintf("fd00:%d::10/64", net)}, []string{fmt.Sprintf("172.%d.0.1", net), fmt.Sprintf("fd00:%d::1", net)})
		w.serveContainer("c-" + h)
	}
	w.bootstrapAt("10.0.0.2:8443")
	w.serve()
	return w
}

// echoes sends datagrams of each size from a namespace, until each was answered or 5 s have passed.
func (l *lab) echoes(ns, addr string, sizes ...int) {
	l.t.Helper()
	args := []string{"env", "NEXD_E2E_HELPER=1", bin("helper"), "udp-sizes", addr}
	for _, s := range sizes {
		args = append(args, strconv.Itoa(s))
	}
	out, code := l.tryAs(ns, 30*time.Second, args)
	l.t.Log(ns, addr, out)
	if code != 0 {
		l.t.Errorf("UDP from %s to %s: exit %d\n%s", ns, addr, code, out)
	}
}

// askSizes asks a UDP echo server with datagrams of each size.
func askSizes(addr string, sizes []string) error {
	c, err := net.Dial("udp", addr)
	if err != nil {
		return err
	}
	defer c.Close()
	b := make([]byte, 65535)
	for _, s := range sizes {
		size, err := strconv.Atoi(s)
		if err != nil {
			return err
		}
		want := bytes.Repeat([]byte{byte(size)}, size)
		tries := 0
		for answered := false; !answered; tries++ {
			if tries == 10 {
				return fmt.Errorf("%d bytes: no answer", size)
			}
			if _, err := c.Write(want); err != nil {
				fmt.Printf("%d bytes: %v\n", size, err)
			}
			c.SetReadDeadline(time.Now().Add(500 * time.Millisecond))
			for {
				n, err := c.Read(b)
				if answered = bytes.Equal(b[:n], want); err != nil || answered {
					break
				}
			}
		}
		fmt.Printf("%d bytes: answered, try %d\n", size, tries)
	}
	return nil
}

// moves downloads and uploads n bytes with curl, both within limit.
func (l *lab) moves(ns, base string, n int64, limit time.Duration, args ...string) {
	l.t.Helper()
	begun := time.Now()
	script := fmt.Sprintf("curl -sS %s --max-time %d '%s/bytes?n=%d' | sha256sum; head -c %d /dev/zero | curl -sS %s --max-time %d -T - -X POST '%s/sum'",
		strings.Join(args, " "), int(limit.Seconds()), base, n, n, strings.Join(args, " "), int(limit.Seconds()), base)
	out, _ := l.tryAs(ns, 2*limit+5*time.Second, []string{"sh", "-c", script})
	if !strings.HasPrefix(out, patternSum(n)) || !strings.Contains(out, fmt.Sprintf(" %d\n", n)) {
		l.t.Errorf("from %s to %s in %v: %s", ns, base, time.Since(begun), out)
		return
	}
	l.t.Logf("from %s to %s: %v", ns, base, time.Since(begun))
}

// TestSmallLinksBehindRouters has links behind a router in TUN mode and a rootless one that carry less
// than the mesh.
func TestSmallLinksBehindRouters(t *testing.T) {
	t.Parallel()
	w := newRoutedWorld(t, "near", "far", "guest", "free")
	for _, h := range []string{"far", "free"} {
		w.in(h, "ip", "link", "set", "to-c-"+h, "mtu", "1280")
		w.in(h, "ip", "link", "set", "cbr0", "mtu", "1280")
		w.in("c-"+h, "ip", "link", "set", "eth0", "mtu", "1280")
	}
	w.routerTUN("far", "172.22.0.0/24", "fd00:22::/64")
	w.router("free", "172.24.0.0/24", "fd00:24::/64")
	w.joinTUN("near")
	guest := w.join("guest", "-L", "7000:172.22.0.10:7/udp", "-L", "7006:[fd00:22::10]:7/udp", "-L", "7100:172.24.0.10:7/udp", "-L", "7106:[fd00:24::10]:7/udp")
	for _, n := range []string{"22", "24"} {
		for _, addr := range []string{"172." + n + ".0.10", "[fd00:" + n + "::10]"} {
			w.echoes("near", addr+":7", 1200, 1300, 1372, 8000)
			w.moves("near", "http://"+addr, 4<<20, 15*time.Second)
			w.moves("guest", "http://"+addr, 4<<20, 15*time.Second, "-x", guest.socks5h())
		}
	}
	for _, port := range []string{"7000", "7006", "7100", "7106"} {
		w.echoes("guest", "127.0.0.1:"+port, 1200, 1300, 1372, 8000, 65507)
	}
}
