package agent

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"nexd/agent/localapi"
	"nexd/internal/eventually"
	"nexd/internal/leak"
	"nexd/node"
)

// TestChangeKeepsWhatStays changes the forwards of a running node: a connection
// through one that stays is not cut.
func TestChangeKeepsWhatStays(t *testing.T) {
	leak.Check(t)
	dir, other := shortDir(t), shortDir(t)
	_, laptopMap := staticPair(t, other, dir, freeUDPPort(t))
	echo, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer echo.Close()
	go func() {
		c, err := echo.Accept()
		if err == nil {
			io.Copy(c, c)
			c.Close()
		}
	}()
	logs := new(logBuffer)
	changes := make(chan Change)
	r := run(t, Config{Config: node.Config{StateDir: dir, MapFile: laptopMap, Logger: slog.New(slog.NewTextHandler(logs, nil))}, ProxyListen: []string{"off"}, Changes: changes,
		Forwards: []string{"-R 70:" + echo.Addr().String(), "-L 0:laptop:70", "-L 0:node1:1"}})
	at := func(spec string) string {
		fs, err := r.client().Forwards(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range fs {
			if f.Spec == spec {
				return f.Listen
			}
		}
		return ""
	}
	c, err := net.Dial("tcp", at("-L 0:laptop:70"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(20 * time.Second))
	ask := func() {
		t.Helper()
		b := make([]byte, 1)
		if _, err := c.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(c, b); err != nil {
			t.Fatal(err)
		}
	}
	ask()
	_, taken, _ := net.SplitHostPort(echo.Addr().String())
	changes <- Change{Forwards: []string{"-R 70:" + echo.Addr().String(), "-L 0:laptop:70", "-L " + taken + ":node1:3", "-L 0:node1:2", "-L bad"}, ProxyListen: []string{"off"}, NeedRestart: []string{"--mtu"}}
	eventually.True(t, "the new forward is there", func() bool { return at("-L 0:node1:2") != "" })
	ask()
	fs, err := r.client().Forwards(t.Context())
	if err != nil || !slices.ContainsFunc(fs, func(f localapi.Forward) bool {
		return f.Spec == "-L "+taken+":node1:3" && strings.Contains(f.Error, taken)
	}) {
		t.Errorf("the one whose port is taken does not wait for it: %+v, %v", fs, err)
	}
	if at("-L 0:node1:1") != "" {
		t.Error("the old forward is still there")
	}
	eventually.True(t, "the log says what needs a restart", func() bool { return strings.Contains(logs.String(), "need a restart") })
	if s := logs.String(); !strings.Contains(s, "--mtu") || !strings.Contains(s, "-L bad") {
		t.Errorf("the log does not tell:\n%s", s)
	}
}

// TestTheProxyMoves gives the proxy of a running node another place, and lets it out of
// the mesh. Who is connected does not notice.
func TestTheProxyMoves(t *testing.T) {
	leak.Check(t)
	dir, other := shortDir(t), shortDir(t)
	_, laptopMap := staticPair(t, other, dir, freeUDPPort(t))
	place := func() string { // free, and below the ports that systems give to whoever asks for any
		for {
			ln, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 10_000+rand.IntN(20_000)))
			if err == nil {
				defer ln.Close()
				return ln.Addr().String()
			}
		}
	}
	first, second := place(), place()
	socket := unixPrefix + dir + "/proxy"
	holder, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer holder.Close()
	logs := new(logBuffer)
	changes := make(chan Change)
	r := run(t, Config{Config: node.Config{StateDir: dir, MapFile: laptopMap, Logger: slog.New(slog.NewTextHandler(logs, nil))}, ProxyListen: []string{first}, Changes: changes})
	const everything = "var everything = true;"
	pac := func(c net.Conn) string {
		t.Helper()
		c.SetDeadline(time.Now().Add(20 * time.Second))
		if _, err := io.WriteString(c, "GET /proxy.pac HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	c, err := net.Dial("tcp", first)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if strings.Contains(pac(c), everything) {
		t.Error("at first everything goes through the proxy")
	}
	for _, step := range []struct {
		listen []string
		want   string // where it listens then
		direct bool
	}{
		{[]string{second, socket}, second + " " + socket, true},
		{[]string{holder.Addr().String()}, second + " " + socket, true}, // taken: all stays
		{[]string{"0.0.0.0:1"}, second + " " + socket, true},            // open to everybody: not so
		{[]string{"off"}, "", false},
		{[]string{first}, first, false},
	} {
		changes <- Change{ProxyListen: step.listen, Direct: step.direct}
		changes <- Change{ProxyListen: step.listen, Direct: step.direct} // taken in when the first is done, and changes nothing
		st, err := r.client().Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(st.Proxies, " "); got != step.want {
			t.Errorf("with %v it listens on %q, want %q", step.listen, got, step.want)
		}
		if strings.Contains(pac(c), everything) != step.direct {
			t.Errorf("with %v the proxy's reach is not %v", step.listen, step.direct)
		}
	}
	for _, say := range []string{"no longer listens", "the proxy cannot listen", "keeps its old listeners"} {
		if !strings.Contains(logs.String(), say) {
			t.Errorf("the log does not say %q:\n%s", say, logs)
		}
	}
}

func TestPortWanted(t *testing.T) {
	for asked, want := range map[string]bool{
		"127.0.0.1:1080": true, "[::1]:1080": true, "127.0.0.1:1081": false, "unix:/run/a": false,
	} {
		if got := portWanted(asked, []string{"unix:/run/b", "[::]:1080"}); got != want {
			t.Errorf("%s: %v", asked, got)
		}
	}
	if portWanted("127.0.0.1:1080", []string{"off"}) {
		t.Error("off has a port")
	}
}
