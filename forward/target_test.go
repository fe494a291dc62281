package forward

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"nexd/internal/leak"
)

// named is a server that sends its name and closes.
func named(t testing.TB, network, addr, name string) net.Listener {
	t.Helper()
	ln, err := net.Listen(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			io.WriteString(c, name)
			c.Close()
		}
	}()
	return ln
}

func heard(t testing.TB, network, addr string) string {
	t.Helper()
	c, err := net.Dial(network, addr)
	if errors.Is(err, syscall.ECONNRESET) { // on a busy machine it comes that early
		return "reset"
	}
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(10 * time.Second))
	b, err := io.ReadAll(c)
	if err != nil {
		return "reset"
	}
	return string(b)
}

func TestTargetsTakeTurnsAndDeadOnesAreSkipped(t *testing.T) {
	leak.Check(t)
	m := newMesh()
	for _, name := range []string{"a", "b", "c"} {
		m.names[name+":80"] = named(t, "tcp", "127.0.0.1:0", name).Addr().String()
	}
	f, _ := running(t, m.config(), "0:a:80,b:80,c:80")
	at := f.Status()[0].Listening[0]
	var got []string
	for range 6 {
		got = append(got, heard(t, "tcp", at))
	}
	if s := strings.Join(got, ""); s != "abcabc" {
		t.Errorf("in turn: %s", s)
	}
	m.mu.Lock()
	m.errs["b:80"] = syscall.ECONNREFUSED
	m.mu.Unlock()
	got = nil
	for range 6 {
		got = append(got, heard(t, "tcp", at))
	}
	if slices.Contains(got, "reset") || slices.Contains(got, "b") || !slices.Contains(got, "a") || !slices.Contains(got, "c") {
		t.Errorf("with b dead: %v", got)
	}
	s := f.Status()[0]
	if !slices.Equal(s.Down, []string{"b:80"}) || s.LastError != "" && !strings.Contains(s.LastError, "b:80") {
		t.Errorf("Status = %+v", s)
	}
	m.mu.Lock()
	m.errs["a:80"], m.errs["c:80"] = syscall.EHOSTUNREACH, syscall.EHOSTUNREACH
	m.mu.Unlock()
	if h := heard(t, "tcp", at); h != "reset" {
		t.Errorf("with all dead: %q", h)
	}
	if s := f.Status()[0]; !strings.Contains(s.LastError, "a:80") || !strings.Contains(s.LastError, "b:80") {
		t.Errorf("last error %q does not name the targets", s.LastError)
	}
	m.mu.Lock()
	clear(m.errs)
	m.mu.Unlock()
	if h := heard(t, "tcp", at); h == "reset" { // those that are down are still tried when all are
		t.Error("not tried again")
	}
}

func TestTurns(t *testing.T) {
	now := time.Now()
	var turn turns
	all := []string{"a", "b", "c"}
	turn.mark("b", false)
	for i, want := range []string{"acb", "cab", "cab", "acb"} {
		if got := strings.Join(turn.order(all, now), ""); got != want {
			t.Errorf("%d: %s, want %s", i, got, want)
		}
	}
	if got := turn.skipped(now); !slices.Equal(got, []string{"b"}) {
		t.Errorf("left out: %v", got)
	}
	if got := turn.order(all, now.Add(downFor+time.Second)); got[0] != "b" {
		t.Errorf("after a while: %v", got)
	}
	turn.mark("b", true)
	if got := turn.skipped(now); len(got) != 0 {
		t.Errorf("left out: %v", got)
	}
}

func TestPortRange(t *testing.T) {
	leak.Check(t)
	m := newMesh()
	for i := range 3 {
		m.names[fmt.Sprintf("a:%d", 90+i)] = named(t, "tcp", "127.0.0.1:0", fmt.Sprint(90+i)).Addr().String()
	}
	first := 20000 + os.Getpid()%20000
	f, _ := running(t, m.config(), fmt.Sprintf("%d-%d:a:90-92", first, first+2))
	if s := f.Status()[0]; len(s.Listening) == 0 {
		t.Skip("the ports are taken: ", s.LastError)
	}
	for i := range 3 {
		if h := heard(t, "tcp", fmt.Sprintf("127.0.0.1:%d", first+i)); h != fmt.Sprint(90+i) {
			t.Errorf("port %d leads to %s", first+i, h)
		}
	}
}

func TestAPortThatIsTakenFailsTheRangeWhole(t *testing.T) {
	leak.Check(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	last := taken.Addr().(*net.TCPAddr).Port
	f, _ := running(t, newMesh().config(), fmt.Sprintf("%d-%d:a:90-91", last-1, last), "0:b:1")
	s := f.Status()
	if len(s[0].Listening) != 0 || !strings.Contains(s[0].LastError, fmt.Sprint(last)) || len(s[1].Listening) != 1 {
		t.Errorf("Status = %+v", s)
	}
}

func TestUnixSocketsAtEitherEnd(t *testing.T) {
	leak.Check(t)
	dir, err := os.MkdirTemp("", "fw")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	in, out := filepath.Join(dir, "in"), filepath.Join(dir, "out")
	m := newMesh()
	m.names["a:80"] = doubler(t)
	named(t, "unix", out, "from the socket")
	f, stop := running(t, m.config(), in+":a:80", "-R 80:"+out)
	c, err := net.Dial("unix", in)
	if err != nil {
		t.Fatal(err, f.Status())
	}
	io.WriteString(c, "half")
	c.(*net.UnixConn).CloseWrite()
	if b, err := io.ReadAll(c); err != nil || string(b) != "halfhalf" {
		t.Errorf("through the listening socket: %q, %v", b, err)
	}
	c.Close()
	if info, err := os.Stat(in); err != nil || info.Mode().Perm()&0o077 != 0 {
		t.Errorf("others may connect: %v, %v", info.Mode(), err)
	}
	m.mu.Lock()
	at := m.ports["tcp4 0.0.0.0:80"]
	m.mu.Unlock()
	if h := heard(t, "tcp", at); h != "from the socket" {
		t.Errorf("to the target socket: %q", h)
	}
	stop()
	if _, err := os.Lstat(in); err == nil {
		t.Error("the socket file is left")
	}
}
