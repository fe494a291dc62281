package e2e

import (
	"fmt"
	"io"
	"net"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestTenThousandShortConnections opens 10,000 connections, 100 at a time, that carry one
// request each: through a forward, with ab as well, through the proxy, and from a node in TUN
// mode. Client ports are reused within seconds. None may fail, and none may wait for a
// repeated SYN for the second time, which is after 3 s. The log has the longest.
//
// NEXD_E2E_LONG makes it 100,000, over eight ports of the target.
func TestTenThousandShortConnections(t *testing.T) {
	conns, targets := 10_000, 1
	if os.Getenv("NEXD_E2E_LONG") != "" {
		conns, targets = 100_000, 8
	}
	w := newWorld(t, "ab")
	w.router("node1", "172.24.0.0/24", "fd00:24::/64")
	w.helps("c1", "many-servers", "100", itoa(targets))
	var direct, forwarded, forwards []string
	for i := range targets {
		direct = append(direct, "172.24.0.10:"+itoa(100+i))
		forwarded = append(forwarded, "127.0.0.1:"+itoa(9100+i))
		forwards = append(forwards, "-L", itoa(9100+i)+":172.24.0.10:"+itoa(100+i))
	}
	forwards = append(forwards, "-L", "9099:[fd00:24::10]:100")
	laptop := w.join("laptop", forwards...)
	laptop.mustFetch("http://172.24.0.10/")
	w.host("tun", "192.0.2.31/24")
	w.joinTUN("tun", "--proxy-listen=off")

	t.Run("ab", func(t *testing.T) {
		out, code := w.try("laptop", 2*time.Minute, "ab", "-q", "-n", itoa(conns/targets), "-c", "100", "http://"+forwarded[0]+"/")
		if code != 0 || !regexp.MustCompile(`Failed requests: +0\n`).MatchString(out) {
			t.Errorf("exit %d\n%s", code, out)
		}
		t.Log(regexp.MustCompile(`100%.*`).FindString(out))
	})
	for _, tt := range []struct {
		name, ns, way, ports string
		targets              []string
	}{
		{"forward", "laptop", "", "", forwarded},
		{"proxy", "laptop", laptop.proxy, "", direct},
		{"forward, IPv6", "laptop", "", "", []string{"127.0.0.1:9099"}},
		{"TUN", "tun", "", "", direct},
		{"TUN with 1,000 ports", "tun", "", "40000 40999", direct},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.ports != "" {
				w.in(tt.ns, "sysctl", "-qw", "net.ipv4.ip_local_port_range="+tt.ports)
			}
			p := w.start(tt.ns, "churn", []string{"NEXD_E2E_HELPER=1"}, append([]string{bin("helper"), "churn", itoa(conns), tt.way}, tt.targets...)...)
			code := p.exit(5 * time.Minute)
			t.Log(strings.TrimSpace(p.log()))
			if code != 0 {
				t.Error("connections failed or waited for a repeated SYN")
			}
		})
	}
}

// helps starts the helper in a namespace, in a role that prints "serves".
func (w *world) helps(ns string, args ...string) *proc {
	w.t.Helper()
	p := w.start(ns, args[0], []string{"NEXD_E2E_HELPER=1"}, append([]string{bin("helper")}, args...)...)
	p.line("serves", 30*time.Second)
	return p
}

// churn makes n requests, 100 at a time, each on a connection of its own: through a SOCKS5
// proxy, or directly if proxy is empty. It fails if any failed or took 3 s.
func churn(n, proxy string, targets []string) error {
	count, err := strconv.Atoi(n)
	if err != nil {
		return err
	}
	took, errs := make([]time.Duration, count), make([]error, count)
	var next atomic.Int64
	var wg sync.WaitGroup
	began := time.Now()
	for range 100 {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < count; i = int(next.Add(1)) - 1 {
				start := time.Now()
				errs[i] = request(proxy, targets[i%len(targets)])
				took[i] = time.Since(start)
			}
		})
	}
	wg.Wait()
	all := time.Since(began)
	slices.Sort(took)
	failed := 0
	for _, err := range errs {
		if err != nil {
			failed++
		}
	}
	slow := func(limit time.Duration) int {
		at, _ := slices.BinarySearch(took, limit)
		return count - at
	}
	fmt.Printf("%d connections in %.1f s, %.0f per second; median %v, longest %v, %d of 0.9 s or more; %d failed\n",
		count, all.Seconds(), float64(count)/all.Seconds(), took[count/2].Round(10*time.Microsecond), took[count-1].Round(time.Millisecond), slow(900*time.Millisecond), failed)
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	if n := slow(2900 * time.Millisecond); n > 0 {
		return fmt.Errorf("%d connections took 3 s", n)
	}
	return nil
}

// request sends a request and reads until the server closes.
func request(proxy, target string) error {
	c, err := dialWay(map[bool]string{true: target, false: "socks5"}[proxy == ""], proxy, target)
	if err != nil {
		return err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(time.Minute))
	if _, err := io.WriteString(c, "GET / HTTP/1.0\r\n\r\n"); err != nil {
		return err
	}
	b, err := io.ReadAll(c)
	if err != nil {
		return err
	}
	if !strings.Contains(string(b), marker) {
		return fmt.Errorf("the answer is %q", b)
	}
	return nil
}

// manyServers answers requests on count ports from first on, and closes each connection first.
func manyServers(first, count string) error {
	from, err := strconv.Atoi(first)
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(count)
	if err != nil {
		return err
	}
	errs := make(chan error, n)
	for i := range n {
		ln, err := net.Listen("tcp", ":"+itoa(from+i))
		if err != nil {
			return err
		}
		go func() {
			errs <- serveTCP(ln, func(c net.Conn) {
				if _, err := c.Read(make([]byte, 4<<10)); err == nil {
					fmt.Fprintf(c, "HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(marker), marker)
				}
			})
		}()
	}
	fmt.Println("serves")
	return <-errs
}
