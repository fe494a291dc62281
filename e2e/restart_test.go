package e2e

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"nexd/internal/eventually"
)

// TestAPeerThatWasRestartedIsNoticed kills a router and a client in the middle of connections, as
// their owners crash or run out of memory, and starts them again. The other side of each connection
// learns of it within 15 s, though it only receives and has nothing to send.
func TestAPeerThatWasRestartedIsNoticed(t *testing.T) {
	t.Parallel() // mostly it waits
	w := newWorld(t)
	router := w.router("node1", "172.24.0.0/24")
	sock, sockTUN := filepath.Join(w.ownDir("forward"), "sock"), filepath.Join(w.dir, "tun-node2", "sock")
	laptop := w.join("laptop", "-L", "8080:172.24.0.10:80", "-L", sock+":172.24.0.10:9")
	laptop.mustFetch("http://172.24.0.10/")
	w.joinTUN("node2", "-L", sockTUN+":172.24.0.10:9")

	const limit = 15 * time.Second
	file := filepath.Join(w.ownDir("up"), "file")
	if err := os.WriteFile(file, []byte(strings.Repeat("0123456789abcdef", 4<<20)), 0o644); err != nil {
		t.Fatal(err)
	}
	slowly := []string{"curl", "-sS", "--max-time", "60", "--limit-rate", "4M", "-o", "/dev/null"}
	download := func(what string, args ...string) <-chan time.Time {
		p := w.start("laptop", what, nil, append(slowly, args...)...)
		return ends(func() error { <-p.done; return p.err })
	}
	silent := func(sock string) <-chan time.Time { // sends a line, which nobody answers before the end
		c, err := net.Dial("unix", sock)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		if _, err := c.Write([]byte("a line\n")); err != nil {
			t.Fatal(err)
		}
		return ends(func() error { _, err := c.Read(make([]byte, 1)); return err })
	}
	open := map[string]<-chan time.Time{
		"a download by the proxy": download("download", "-x", laptop.socks5h(), "http://172.24.0.10/bytes?n=1000000000"),
		"a download by a forward": download("forward", "http://127.0.0.1:8080/bytes?n=1000000000"),
		"an upload":               download("upload", "-x", laptop.socks5h(), "-T", file, "http://172.24.0.10/sum"),
		"a silent connection":     silent(sock),
		"one in TUN mode":         silent(sockTUN),
	}
	connections := func(n int) func() bool { return func() bool { return router.look().Counters.Router.TCP == n } }
	eventually.Within(t, limit, "the router has the connections", connections(len(open)))

	killed := time.Now()
	router.restart()
	for what, end := range open {
		select {
		case at := <-end:
			promised(t, limit, at.Sub(killed), what+" through a router that was restarted: noticed")
		case <-time.After(2 * limit):
			t.Errorf("%s has not ended", what)
		}
	}

	laptop.mustFetch("http://172.24.0.10/")
	silent(sock)
	download("download", "-x", laptop.socks5h(), "http://172.24.0.10/bytes?n=1000000000")
	eventually.Within(t, limit, "the router has the connections", connections(2))
	killed = time.Now()
	laptop.stop(syscall.SIGKILL)
	laptop.launch()
	took := eventually.Within(t, 2*limit, "the router has closed the connections of a client that was restarted", connections(0))
	promised(t, limit, time.Since(killed), "a client that was restarted: noticed")
	t.Logf("%v after its restart", took)
}

// ends tells when wait returns an error. It tells nothing if wait returns none.
func ends(wait func() error) <-chan time.Time {
	at := make(chan time.Time, 1)
	go func() {
		if wait() != nil {
			at <- time.Now()
		}
	}()
	return at
}
