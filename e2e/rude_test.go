package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"nexd/internal/eventually"
)

// rudeClients lets 300 clients stop during a handshake and 200 reset their connections, at
// the proxy and at a forward. Meanwhile the node serves other clients within a second, and
// afterwards it has released all descriptors.
func rudeClients(t *testing.T, w *world, laptop *node) {
	files := openFiles(t, laptop)
	prompt := func(while string) {
		t.Helper()
		for _, way := range [][]string{{"-x", laptop.socks5h()}, {"-x", "http://" + laptop.proxy}} {
			start := time.Now()
			out, code := laptop.curl(10*time.Second, append(way, "http://172.24.0.10/")...)
			if took := time.Since(start); code != 0 || took > time.Second {
				t.Errorf("%s: another client's fetch took %v, curl exit %d\n%s", while, took, code, out)
			}
		}
	}
	prompt("before")
	p := w.startWithInput("laptop", "rude clients", []string{"NEXD_E2E_HELPER=1"}, bin("helper"), "rude", laptop.proxy, "172.24.0.10:7", "127.0.0.1:9010")
	p.line("half-open", 20*time.Second)
	prompt("300 half-open handshakes")
	p.endInput()
	p.line("resetting", 20*time.Second)
	prompt("200 resets")
	if code := p.exit(30 * time.Second); code != 0 {
		t.Errorf("rude clients: exit %d\n%s", code, p.log())
	}
	eventually.Within(t, 15*time.Second, fmt.Sprintf("the laptop is back to %d descriptors, give or take its own", files), func() bool { return openFiles(t, laptop) <= files+5 })
	prompt("afterwards")
}

// rudeBeginnings are incomplete handshakes.
var rudeBeginnings = []string{"", "\x05", "\x05\x01\x00\x05\x01\x00\x03\xffabc", "\x04\x01\x00\x50", "GET http://172.24.0.10/ HT", "CONNECT 172.24.0.10:80 HTTP/1.1\r\nX: "}

// rude starts 300 incomplete handshakes, waits until its input ends, and resets 200
// connections through the proxy and 200 through a forward.
func rude(proxy, target, forward string) error {
	var held []net.Conn
	defer func() {
		for _, c := range held {
			c.Close()
		}
	}()
	for i := range 300 {
		c, err := net.Dial("tcp", proxy)
		if err != nil {
			return err
		}
		held = append(held, c)
		if _, err := io.WriteString(c, rudeBeginnings[i%len(rudeBeginnings)]); err != nil {
			return err
		}
	}
	fmt.Println("half-open")
	io.Copy(io.Discard, os.Stdin)
	fmt.Println("resetting")
	for i := range 400 {
		way := []string{"socks5", forward}[i%2]
		c, err := dialWay(way, proxy, target)
		if err != nil {
			return err
		}
		if i%4 < 2 { // with something on the way
			c.Write(bytes.Repeat([]byte("x"), 64<<10))
		}
		c.(*net.TCPConn).SetLinger(0)
		c.Close()
	}
	return refusedKindly(proxy)
}

// refusedKindly sends malformed requests, one byte at a time, and expects an answer or a
// close.
func refusedKindly(proxy string) error {
	long := string(bytes.Repeat([]byte("a"), 300))
	for _, tt := range []struct{ say, want string }{
		{"\x05\x01\x00\x05\x09\x00\x01\x7f\x00\x00\x01\x00\x07", "\x05\x00\x05\x07\x00\x01\x00\x00\x00\x00\x00\x00"}, // no such command
		{"\x05\x01\x00\x05\x02\x00\x01\x7f\x00\x00\x01\x00\x07", "\x05\x00\x05\x07\x00\x01\x00\x00\x00\x00\x00\x00"}, // BIND
		{"\x05\x01\x00\x05\x01\x00\x09\x7f\x00\x00\x01\x00\x07", "\x05\x00\x05\x08\x00\x01\x00\x00\x00\x00\x00\x00"}, // no such address type
		{"\x05\x01\x00\x05\x01\x00\x03\xff" + long[:255] + "\x00\x07", "\x05\x00\x05\x04\x00\x01\x00\x00\x00\x00\x00\x00"},
		{"\x04\x02\x00\x50\x0a\x00\x00\x01x\x00", "\x00\x5b\x00\x00\x00\x00\x00\x00"},
		{"CONNECT " + long + ":80 HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 502"},
		{"BREW /pot HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 400"},
		{"\x16\x03\x01\x02\x00", ""},
	} {
		c, err := net.Dial("tcp", proxy)
		if err != nil {
			return err
		}
		c.SetDeadline(time.Now().Add(10 * time.Second))
		for i := range len(tt.say) {
			if _, err := io.WriteString(c, tt.say[i:i+1]); err != nil {
				break
			}
		}
		got := make([]byte, max(len(tt.want), 1))
		n, err := io.ReadFull(c, got)
		c.Close()
		closed := errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET)
		if string(got[:n]) != tt.want || (tt.want == "") != closed {
			return fmt.Errorf("to %q the proxy says %q, %w; want %q", tt.say, got[:n], err, tt.want)
		}
	}
	return nil
}
