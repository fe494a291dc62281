package e2e

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"nexd/agent/localapi"
	"nexd/internal/eventually"
)

// beat is the pause between two numbers of a flow.
const beat = 10 * time.Millisecond

// flow is a TCP connection through a node's proxy to a container's echo server. It
// exchanges a number a hundred times per second.
type flow struct{ *proc }

func (n *node) flow(target string) *flow {
	n.w.t.Helper()
	f := &flow{n.w.startWithInput(n.ns, "flow of "+n.ns, []string{"NEXD_E2E_HELPER=1"}, bin("helper"), "flow", n.proxy, target)}
	f.line("open", 20*time.Second)
	return f
}

// gap returns the longest time without a reply since the last call, or since the start.
func (f *flow) gap() time.Duration {
	f.t.Helper()
	io.WriteString(f.input, "\n")
	d, err := time.ParseDuration(strings.TrimPrefix(f.line("gap ", 10*time.Second), "gap "))
	if err != nil {
		f.t.Fatal(err)
	}
	return d
}

// whole ends a flow and checks that every number came back on the same connection.
func (f *flow) whole() {
	f.t.Helper()
	f.endInput()
	f.line("whole", 90*time.Second)
}

// flowing is the program of a flow.
func flowing(proxy, target string) error {
	c, err := dialWay("socks5", proxy, target)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := echoed(c); err != nil {
		return err
	}
	fmt.Println("open")
	var mu sync.Mutex
	last, worst := time.Now(), time.Duration(0)
	heard := func() {
		mu.Lock()
		defer mu.Unlock()
		now := time.Now()
		worst, last = max(worst, now.Sub(last)), now
	}
	ended, sent := make(chan struct{}), make(chan uint64, 1)
	go func() {
		defer close(ended)
		for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
			mu.Lock()
			worst = max(worst, time.Since(last))
			fmt.Println("gap", worst)
			worst = 0
			mu.Unlock()
		}
	}()
	failed := make(chan error, 1)
	go func() {
		var b [8]byte
		tick := time.NewTicker(beat)
		defer tick.Stop()
		for n := uint64(1); ; n++ {
			select {
			case <-ended:
				sent <- n - 1
				failed <- c.(*net.TCPConn).CloseWrite()
				return
			case <-tick.C:
			}
			binary.BigEndian.PutUint64(b[:], n)
			if _, err := c.Write(b[:]); err != nil {
				failed <- err
				c.Close()
				return
			}
		}
	}()
	var b [8]byte
	for n := uint64(1); ; n++ {
		switch _, err := io.ReadFull(c, b[:]); {
		case err == io.EOF: // after our own
			select {
			case all := <-sent:
				if n-1 != all {
					return fmt.Errorf("%d of %d words came back", n-1, all)
				}
				fmt.Println("whole")
				return nil
			default:
				return fmt.Errorf("the connection ended after %d words", n-1)
			}
		case err != nil:
			select {
			case werr := <-failed:
				err = errors.Join(err, werr)
			default:
			}
			return fmt.Errorf("after %d words: %w", n-1, err)
		}
		if got := binary.BigEndian.Uint64(b[:]); got != n {
			return fmt.Errorf("word %d came where %d should", got, n)
		}
		heard()
	}
}

// local uses the node's control socket directly. It starts no program, so it does not
// disturb a measurement.
func (n *node) local() *localapi.Client {
	return localapi.NewClient(filepath.Join(n.state, "nexd.sock"))
}

// look returns the status without starting a program.
func (n *node) look() localapi.Status {
	n.w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	s, err := n.local().Status(ctx)
	if err != nil {
		n.w.t.Fatalf("status of %s: %v", n.ns, err)
	}
	return s
}

// pathTo returns a node's path to a peer.
func (n *node) pathTo(peer string) (path, endpoint string) {
	n.w.t.Helper()
	for _, p := range n.look().Peers {
		if p.Name == peer {
			return p.Path, p.Endpoint
		}
	}
	n.w.t.Fatalf("%s does not know %s", n.ns, peer)
	return "", ""
}

// untilRelay waits until a node has its relay.
func (n *node) untilRelay() {
	n.w.t.Helper()
	eventually.Within(n.w.t, 30*time.Second, n.ns+" has a relay", func() bool { r := n.look().Relay; return r != nil && r.Connected })
}

// untilFlows pings an address until there is an answer.
func (n *node) untilFlows(addr string, limit time.Duration) time.Duration {
	n.w.t.Helper()
	return eventually.Within(n.w.t, limit, addr+" answers "+n.ns, func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_, err := n.local().Ping(ctx, localapi.PingRequest{Target: addr, Timeout: 300 * time.Millisecond})
		return err == nil
	})
}

// untilPathTo waits until a node's path to a peer is of a kind, and sends traffic
// meanwhile.
func (n *node) untilPathTo(peer, kind string, limit time.Duration) time.Duration {
	n.w.t.Helper()
	return eventually.Within(n.w.t, limit, fmt.Sprintf("the way of %s to %s is %s", n.ns, peer, kind), func() bool {
		path, _ := n.pathTo(peer)
		return path == kind
	})
}

// promised logs a duration and fails the test if it exceeds the documented limit.
func promised(t *testing.T, limit, took time.Duration, what string) {
	t.Helper()
	t.Logf("%s: %v", what, took.Round(time.Millisecond))
	if took > limit {
		t.Errorf("%s: %v, promised are %v", what, took, limit)
	}
}
