package e2e

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"nexd/internal/eventually"
)

// TestTenThousandIdleConnections holds 10,000 connections through the proxy of one pair of
// nodes, and uses each one at the end. It prints the memory per connection.
func TestTenThousandIdleConnections(t *testing.T) {
	const conns = 10_000
	filesFor(t, conns+2000)
	w := newWorld(t)
	node1 := w.router("node1", "172.24.0.0/24")
	w.router("node2", "172.28.0.0/24")
	laptop := w.join("laptop")
	laptop.mustFetch("http://172.24.0.10/")
	nodes := []*node{laptop, node1}
	files, memory := make([]int, len(nodes)), make([]int, len(nodes))
	for i, n := range nodes {
		files[i], memory[i] = openFiles(t, n), residentKiB(t, n)
	}
	start := time.Now()
	p := w.startWithInput("laptop", "idle", []string{"NEXD_E2E_HELPER=1"}, bin("helper"), "idle", laptop.proxy, "172.24.0.10:7", itoa(conns))
	p.line("open", time.Minute)
	t.Logf("%d connections opened in %v", conns, time.Since(start).Round(10*time.Millisecond))
	for i, n := range nodes {
		grown := residentKiB(t, n) - memory[i]
		t.Logf("%s: %.1f KiB per idle connection, %d MiB in all", n.ns, float64(grown)/conns, residentKiB(t, n)>>10)
		if got := openFiles(t, n); got < conns {
			t.Errorf("%s has %d descriptors with %d connections", n.ns, got, conns)
		}
	}
	start = time.Now()
	laptop.mustFetch("http://172.28.0.10/")
	if took := time.Since(start); took > time.Second {
		t.Errorf("a fetch beside them took %v", took)
	}
	io.WriteString(p.input, "again")
	p.endInput()
	p.line("alive", time.Minute)
	if code := p.exit(20 * time.Second); code != 0 {
		t.Fatalf("exit %d\n%s", code, p.log())
	}
	for i, n := range nodes {
		eventually.Within(t, 30*time.Second, n.ns+" gives its descriptors back", func() bool { return openFiles(t, n) <= files[i]+5 })
	}
	laptop.mustFetch("http://172.24.0.10/")
}

// filesFor raises the limit of open files of this process and its children to n.
func filesFor(t *testing.T, n uint64) {
	t.Helper()
	var was syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &was); err != nil {
		t.Fatal(err)
	}
	if was.Max >= n {
		return // Go programs take all they may
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: n, Max: n}); err != nil {
		missing(t, fmt.Sprintf("only %d files may be open here, and that cannot be raised: %v", was.Max, err))
	}
}

// opening is the number of connections that idle opens at a time.
const opening = 16

// idle opens n connections through a SOCKS5 proxy to target, tests each with one echo,
// prints "open", and closes them when its input ends. If there was any input, it first
// tests each again and prints "alive".
func idle(proxy, target, n string) error {
	count, err := strconv.Atoi(n)
	if err != nil {
		return err
	}
	conns, errs := make([]net.Conn, count), make([]error, opening)
	defer func() {
		for _, c := range conns {
			if c != nil {
				c.Close()
			}
		}
	}()
	var wg sync.WaitGroup
	for worker := range opening {
		wg.Go(func() {
			for i := worker; i < count && errs[worker] == nil; i += opening {
				conns[i], errs[worker] = dialWay("socks5", proxy, target)
				if errs[worker] == nil {
					errs[worker] = echoed(conns[i])
				}
			}
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	fmt.Println("open")
	if asked, _ := io.ReadAll(os.Stdin); len(asked) == 0 {
		return nil
	}
	for _, c := range conns {
		if err := echoed(c); err != nil {
			return err
		}
	}
	fmt.Println("alive")
	return nil
}

// echoed sends one byte and waits for it.
func echoed(c net.Conn) error {
	c.SetDeadline(time.Now().Add(20 * time.Second))
	var b [1]byte
	if _, err := c.Write([]byte("x")); err != nil {
		return err
	}
	if _, err := io.ReadFull(c, b[:]); err != nil {
		return err
	}
	if b[0] != 'x' {
		return fmt.Errorf("%q came back", b)
	}
	return c.SetDeadline(time.Time{})
}
