package e2e

import (
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"nexd/internal/eventually"
)

// TestMemoryLimitIsKeptByRefusing opens far more connections than a memory limit admits. The others
// are refused at once, the memory of both nodes stays within the limit, what was admitted works, and
// everything is free again soon after the client was killed. NEXD_E2E_LONG makes it 10,000.
func TestMemoryLimitIsKeptByRefusing(t *testing.T) {
	conns := 3000
	if os.Getenv("NEXD_E2E_LONG") != "" {
		conns = 10_000
	}
	filesFor(t, uint64(conns)+2000)
	t.Parallel()                            // mostly it waits for memory to be given back
	const limit, slack = 64 << 10, 16 << 10 // KiB; the slack is that of docs/applications.md
	w := newWorld(t)
	limited := []string{"NEXD_MEMORY_LIMIT=64MiB"}
	router := w.joinWith(limited, "node1", "router", "--advertise-cidr=172.24.0.0/24", "--proxy-listen=off")
	laptop := w.joinWith(limited, "laptop")
	laptop.mustFetch("http://172.24.0.10/")
	nodes := []*node{laptop, router}
	var files []int
	for _, n := range nodes {
		files = append(files, openFiles(t, n))
	}
	start := time.Now()
	p := w.startWithInput("laptop", "crowd", []string{"NEXD_E2E_HELPER=1"}, bin("helper"), "crowd", laptop.proxy, "172.24.0.10:7", itoa(conns))
	var open, refused int
	line := p.line("open ", time.Minute)
	if _, err := fmt.Sscanf(line, "open %d refused %d", &open, &refused); err != nil {
		t.Fatalf("%q: %v", line, err)
	}
	t.Logf("%s of %d in %v", line, conns, time.Since(start).Round(10*time.Millisecond))
	if open < 500 || open > 1200 || open+refused != conns {
		t.Errorf("%d connections are open and %d refused of %d; a limit of 64 MiB admits about 900, and one node 670 of them", open, refused, conns)
	}
	resident := func(when string) {
		for _, n := range nodes {
			kib := residentKiB(t, n)
			t.Logf("%s: %d MiB %s", n.ns, kib>>10, when)
			if kib > limit+slack {
				t.Errorf("%s has %d MiB %s, more than its limit and 16 MiB", n.ns, kib>>10, when)
			}
		}
	}
	resident("at the limit")
	if health := strings.Join(router.status().Health, "\n"); !strings.Contains(health, "laptop holds 6") || !strings.Contains(health, "--memory-limit") {
		t.Errorf("the router's status does not say who holds its memory, and the way out: %q", health)
	}
	io.WriteString(p.input, "again\n")
	p.line("alive", time.Minute)
	p.stop(syscall.SIGKILL)
	start = time.Now()
	for i, n := range nodes {
		eventually.Within(t, 10*time.Second, n.ns+" gives its descriptors back", func() bool { return openFiles(t, n) <= files[i]+5 })
	}
	eventually.Within(t, 5*time.Second, "new connections pass", func() bool {
		out, code := laptop.curl(5*time.Second, "-x", laptop.socks5h(), "http://172.24.0.10/")
		return code == 0 && strings.Contains(out, marker)
	})
	t.Logf("descriptors are free and a new connection passes %v after the client was killed", time.Since(start).Round(10*time.Millisecond))
	resident("after the client was killed")
	for _, n := range nodes {
		eventually.Within(t, 30*time.Second, n.ns+" gives its memory back", func() bool { return residentKiB(t, n) < 48<<10 })
	}
	t.Logf("memory is given back %v after the client was killed", time.Since(start).Round(10*time.Millisecond))
}

// crowd opens up to n connections through a SOCKS5 proxy to target, and prints how many were
// admitted and refused. At a line of input it tests each again and prints "alive".
func crowd(proxy, target, n string) error {
	count, err := strconv.Atoi(n)
	if err != nil {
		return err
	}
	var mu sync.Mutex
	var conns []net.Conn
	var slowest time.Duration
	var wg sync.WaitGroup
	for worker := range opening {
		wg.Go(func() {
			for i := worker; i < count; i += opening {
				start := time.Now()
				c, err := dialWay("socks5", proxy, target)
				if err == nil {
					err = echoed(c)
				}
				mu.Lock()
				if err == nil {
					conns = append(conns, c)
				} else if c != nil {
					c.Close()
				}
				slowest = max(slowest, time.Since(start))
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	fmt.Printf("open %d refused %d, the slowest took %v\n", len(conns), count-len(conns), slowest.Round(time.Millisecond))
	if _, err := fmt.Scanln(new(string)); err != nil {
		return err
	}
	for _, c := range conns {
		if err := echoed(c); err != nil {
			return err
		}
	}
	fmt.Println("alive")
	select {}
}
