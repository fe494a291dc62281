package proxy

import (
	"bufio"
	"context"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"nexd/internal/leak"
)

func TestSOCKS4(t *testing.T) {
	leak.Check(t)
	m := newMesh()
	m.server(t, "10.0.0.1:7", echo)
	m.server(t, "node1:7", echo)
	m.server(t, "[fd00::1]:7", echo)
	m.errors["shut:7"] = opErr(syscall.ECONNREFUSED)
	p := run(t, m, nil)
	for _, tt := range []struct {
		name, send string
		granted    bool
	}{
		{"address", "\x04\x01\x00\x07\x0a\x00\x00\x01user\x00", true},
		{"address, no user", "\x04\x01\x00\x07\x0a\x00\x00\x01\x00", true},
		{"name", "\x04\x01\x00\x07\x00\x00\x00\x01user\x00node1\x00", true},
		{"address as a name", "\x04\x01\x00\x07\x00\x00\x00\x01user\x0010.0.0.1.\x00", true},
		{"mapped address as a name", "\x04\x01\x00\x07\x00\x00\x00\x01user\x00[::ffff:10.0.0.1]\x00", true},
		{"IPv6 address as a name", "\x04\x01\x00\x07\x00\x00\x00\x01user\x00[FD00::1]\x00", true},
		{"refused", "\x04\x01\x00\x07\x00\x00\x00\x01\x00shut\x00", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := p.dial(t)
			say(t, c, tt.send+"early") // data right behind the request belongs to the target
			var reply [8]byte
			if _, err := io.ReadFull(c, reply[:]); err != nil || reply[0] != 0 || (reply[1] == socks4Granted) != tt.granted {
				t.Fatalf("reply %x, %v; want granted %v", reply, err, tt.granted)
			}
			if !tt.granted {
				hearEOF(t, c)
				return
			}
			hear(t, c, "early")
			c.CloseWrite()
			hearEOF(t, c)
		})
	}
}

func TestSOCKS4OneByteAtATime(t *testing.T) {
	leak.Check(t)
	m := newMesh()
	m.server(t, "node1:7", echo)
	p := run(t, m, nil)
	c := p.dial(t)
	c.SetNoDelay(true)
	for _, b := range []byte("\x04\x01\x00\x07\x00\x00\x00\x01user\x00node1\x00x") {
		say(t, c, string([]byte{b}))
	}
	var reply [8]byte
	if _, err := io.ReadFull(c, reply[:]); err != nil || reply[1] != socks4Granted {
		t.Fatalf("reply %x, %v", reply, err)
	}
	hear(t, c, "x")
}

// A client that has sent its request has met the handshake timeout. If the client hangs up during a
// longer dial, the dial ends.
func TestSOCKS4HangUpAfterTheHandshakeTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dialing, canceled := make(chan struct{}), make(chan struct{})
		c := pipeTo(t, Config{DialTimeout: time.Hour, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
			close(dialing)
			<-ctx.Done()
			close(canceled)
			return nil, ctx.Err()
		}})
		say(t, c, "\x04\x01\x00\x07\x00\x00\x00\x01\x00silent\x00")
		<-dialing
		time.Sleep(2 * DefaultHandshakeTimeout)
		select {
		case <-canceled:
			t.Fatal("the handshake timeout ended the dial")
		default:
		}
		c.Close()
		<-canceled
	})
}

// FuzzSOCKS4 checks that the parser reads a request and nothing after it, or fails.
func FuzzSOCKS4(f *testing.F) {
	f.Add([]byte("\x04\x01\x00\x50\x00\x00\x00\x01user\x00node1\x00rest"))
	f.Add([]byte("\x04\x01\x00\x50\x0a\x00\x00\x01\x00rest"))
	f.Add([]byte("\x04\x01\x00\x50\x0a\x00\x00\x01" + strings.Repeat("u", 600)))
	f.Fuzz(func(t *testing.T, said []byte) {
		in := bufio.NewReaderSize(strings.NewReader(string(said)), 16)
		r, err := readSOCKS4(in)
		if err != nil {
			return
		}
		rest, _ := io.ReadAll(in)
		size := len(said) - len(rest)
		if said[size-1] != 0 || len(r.host) > socks4MaxString {
			t.Errorf("of %q %q is left", said, rest)
		}
		if ip := net.ParseIP(r.host); ip == nil && !strings.HasSuffix(string(said[:size]), r.host+"\x00") {
			t.Errorf("host %q of %q", r.host, said)
		}
	})
}
