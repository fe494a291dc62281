package main

import (
	"bytes"
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// wire is a client: what it says is given, what it is told is kept.
type wire struct {
	io.Reader
	bytes.Buffer
}

func (w *wire) Read(b []byte) (int, error) { return w.Reader.Read(b) }

func TestRequest(t *testing.T) {
	for _, tt := range []struct{ name, said, want string }{
		{"IPv4", "\x05\x01\x00" + "\x05\x01\x00\x01\xac\x18\x00\x0a\x1b\x58", "172.24.0.10:7000"},
		{"IPv6", "\x05\x02\x00\x02" + "\x05\x01\x00\x04\xfd\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x50", "[fd00::1]:80"},
		{"a name", "\x05\x01\x00" + "\x05\x01\x00\x03\x01a\x00\x50", ""},
		{"BIND", "\x05\x01\x00" + "\x05\x02\x00\x01\xac\x18\x00\x0a\x1b\x58", ""},
		{"SOCKS4", "\x04\x01\x00\x50", ""},
		{"cut short", "\x05\x01\x00\x05\x01", ""},
		{"nothing", "", ""},
	} {
		got, err := request(&wire{Reader: strings.NewReader(tt.said)})
		if (err == nil) != (tt.want != "") || err == nil && got.String() != tt.want {
			t.Errorf("%s: %v, %v, want %q", tt.name, got, err, tt.want)
		}
	}
}

func FuzzRequest(f *testing.F) {
	f.Add([]byte("\x05\x01\x00\x05\x01\x00\x01\xac\x18\x00\x0a\x1b\x58"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if to, err := request(&wire{Reader: bytes.NewReader(b)}); err == nil && !to.IsValid() {
			t.Errorf("accepted % x as %v", b, to)
		}
	})
}

func TestHandshakeTells(t *testing.T) {
	said := "\x05\x01\x00\x05\x01\x00\x01\xac\x18\x00\x0a\x1b\x58"
	for code, err := range map[string]error{"\x00": nil, "\x05": errors.New("refused")} {
		w := &wire{Reader: strings.NewReader(said)}
		if _, got := handshake(w, func(netip.AddrPort) (net.Conn, error) { return nil, err }); got != err {
			t.Errorf("handshake: %v, want %v", got, err)
		}
		if got, want := w.String(), "\x05\x00\x05"+code+"\x00\x01\x00\x00\x00\x00\x00\x00"; got != want {
			t.Errorf("told % x, want % x", got, want)
		}
	}
}

// configs are two peers on the loopback.
func configs(t *testing.T, port int) (client, router string) {
	t.Helper()
	a, errA := ecdh.X25519().GenerateKey(rand.Reader)
	b, errB := ecdh.X25519().GenerateKey(rand.Reader)
	if errA != nil || errB != nil {
		t.Fatal(errA, errB)
	}
	client = fmt.Sprintf("private_key=%x\npublic_key=%x\nendpoint=127.0.0.1:%d\nallowed_ip=172.24.0.0/24\n", a.Bytes(), b.PublicKey().Bytes(), port)
	router = fmt.Sprintf("private_key=%x\nlisten_port=%d\npublic_key=%x\nallowed_ip=100.64.0.2/32\n", b.Bytes(), port, a.PublicKey().Bytes())
	return client, router
}

func freePort(t *testing.T) int {
	t.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return c.LocalAddr().(*net.UDPAddr).Port
}

// started runs the program until the test ends, and returns once it is ready.
func started(t *testing.T, config string, args ...string) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r, w := io.Pipe()
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, args, strings.NewReader(config), w, io.Discard); w.Close() }()
	if line, err := io.ReadAll(io.LimitReader(r, 6)); string(line) != "ready\n" {
		cancel()
		t.Fatalf("%v: said %q, %v, %v", args, line, err, <-ended)
	}
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("%v: %v", args, err)
		}
	})
}

// TestClientToContainer sends through both programs and back, with a half-close.
func TestClientToContainer(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0") // the container
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			io.Copy(c, c)
			c.Close()
		}
	}()
	client, router := configs(t, freePort(t))
	socks := fmt.Sprintf("127.0.0.1:%d", freePort(t))
	container := netip.MustParseAddrPort(ln.Addr().String())
	started(t, router, "-address=172.24.0.10", "-relay="+container.String())
	started(t, client, "-address=100.64.0.2", "-socks="+socks)

	c, err := net.Dial("tcp", socks)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(20 * time.Second))
	c.Write(append([]byte("\x05\x01\x00\x05\x01\x00\x01\xac\x18\x00\x0a"), byte(container.Port()>>8), byte(container.Port())))
	var told [12]byte
	if _, err := io.ReadFull(c, told[:]); err != nil || told[3] != 0 {
		t.Fatalf("the proxy said % x, %v", told, err)
	}
	sent := make([]byte, 1<<20)
	rand.Read(sent)
	go func() { c.Write(sent); c.(*net.TCPConn).CloseWrite() }()
	if got, err := io.ReadAll(c); err != nil || !bytes.Equal(got, sent) {
		t.Errorf("%d of %d bytes came back, %v", len(got), len(sent), err)
	}
}

func TestRunRefuses(t *testing.T) {
	for name, args := range map[string][]string{"no address": nil, "nonsense": {"-address=x"}, "unknown flag": {"-nope"}} {
		if err := run(t.Context(), args, strings.NewReader("private_key=00\n"), io.Discard, io.Discard); err == nil {
			t.Errorf("%s: ran", name)
		}
	}
}
