package agent

import (
	"io"
	"log/slog"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"nexd/agent/localapi"
	"nexd/internal/leak"
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
	r := run(t, Config{StateDir: dir, MapFile: laptopMap, ProxyListen: []string{"off"}, Changes: changes, Logger: slog.New(slog.NewTextHandler(logs, nil)),
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
	changes <- Change{Forwards: []string{"-R 70:" + echo.Addr().String(), "-L 0:laptop:70", "-L " + taken + ":node1:3", "-L 0:node1:2", "-L bad"}, NeedRestart: []string{"--mtu"}}
	for end := time.Now().Add(5 * time.Second); at("-L 0:node1:2") == ""; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the new forward is not there")
		}
	}
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
	for end := time.Now().Add(5 * time.Second); !strings.Contains(logs.String(), "need a restart"); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it is not said what needs a restart")
		}
	}
	if s := logs.String(); !strings.Contains(s, "--mtu") || !strings.Contains(s, "-L bad") {
		t.Errorf("the log does not tell:\n%s", s)
	}
}
