package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"nexd/internal/leak"
	"nexd/mesh"
)

// failures are dial errors, and the SOCKS reply code and HTTP status for each.
var failures = []struct {
	name   string
	err    error
	reply  byte
	status int
}{
	{"refused", opErr(syscall.ECONNREFUSED), 5, 502},
	{"no-route", opErr(syscall.ENETUNREACH), 3, 502},
	{"host-unreachable", opErr(syscall.EHOSTUNREACH), 4, 502},
	{"timed-out", opErr(syscall.ETIMEDOUT), 6, 504},
	{"deadline", context.DeadlineExceeded, 6, 504},
	{"io-deadline", fmt.Errorf("x: %w", os.ErrDeadlineExceeded), 6, 504},
	{"unknown-name", mesh.Errorf(mesh.NotFound, "no node is called so"), 4, 502},
	{"unknown-dns", &net.DNSError{Err: "no such host", IsNotFound: true}, 4, 502},
	{"dns-timeout", &net.DNSError{Err: "i/o timeout", IsTimeout: true}, 6, 504},
	{"denied", mesh.Errorf(mesh.Denied, "policy"), 2, 403},
	{"eacces", opErr(syscall.EACCES), 2, 403},
	{"invalid", mesh.Errorf(mesh.Invalid, "port 0"), 1, 400},
	{"away", mesh.Errorf(mesh.Unavailable, "tunnel is down"), 1, 503},
	{"exhausted", mesh.Errorf(mesh.Exhausted, "no ports"), 1, 503},
	{"other", errors.New("the word refused does not decide"), 1, 502},
	{"errno-in-kind", mesh.Errorf(mesh.NotFound, "no peer: %w", syscall.ENETUNREACH), 3, 502},
}

func opErr(err error) error { return &net.OpError{Op: "dial", Net: "tcp", Err: err} }

func TestReplyCodes(t *testing.T) {
	leak.Check(t)
	m := newMesh()
	for _, f := range failures {
		m.errors[f.name+":7"] = f.err
	}
	p := run(t, m, nil)
	for _, f := range failures {
		t.Run(f.name, func(t *testing.T) {
			c := p.dial(t)
			say(t, c, hello+connectTo(f.name, 7))
			begin := time.Now()
			hear(t, c, helloOK+"\x05"+string(f.reply)+"\x00\x01\x00\x00\x00\x00\x00\x00")
			hearEOF(t, c)
			if took := time.Since(begin); took > 10*time.Second {
				t.Errorf("the answer took %v", took)
			}
		})
	}
	if got := p.Stats().Failed; got != int64(len(failures)) {
		t.Errorf("Failed = %d, want %d", got, len(failures))
	}
}

func TestDialTimeoutIsReply6(t *testing.T) {
	leak.Check(t)
	m := newMesh()
	m.silent["silent:7"] = true
	p := run(t, m, func(c *Config) { c.DialTimeout = 20 * time.Millisecond })
	c := p.dial(t)
	say(t, c, hello+connectTo("silent", 7))
	hear(t, c, helloOK+"\x05\x06\x00\x01\x00\x00\x00\x00\x00\x00")
}

// Dial gets names unchanged, and addresses in their shortest form.
func TestWhatDialGets(t *testing.T) {
	leak.Check(t)
	long := strings.Repeat("a", 255)
	m := newMesh()
	p := run(t, m, nil)
	for _, tt := range []struct{ name, request, want string }{
		{"name", connectTo("Node1.nexd.internal.", 80), "Node1.nexd.internal.:80"},
		{"longest name", connectTo(long, 65535), long + ":65535"},
		{"address as a name", connectTo("172.24.0.10", 80), "172.24.0.10:80"},
		{"IPv6 address as a name", connectTo("fd00::1", 80), "[fd00::1]:80"},
		{"address with a final dot", connectTo("172.24.0.10.", 80), "172.24.0.10:80"},
		{"mapped address as a name", connectTo("::ffff:172.24.0.10", 80), "172.24.0.10:80"},
		{"address in brackets", connectTo("[FD00:0::1]", 80), "[fd00::1]:80"},
		{"mapped address in brackets", connectTo("[::ffff:172.24.0.10]", 80), "172.24.0.10:80"},
		{"address with a zone", connectTo("[fd00::1%eth0]", 80), "[fd00::1]:80"},
		{"IPv4", "\x05\x01\x00\x01\xac\x18\x00\x0a\x1f\x90", "172.24.0.10:8080"},
		{"IPv6", "\x05\x01\x00\x04\xfd\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x01\xbb", "[fd00::1]:443"},
		{"IPv4 in IPv6", "\x05\x01\x00\x04" + string(net.IPv4(10, 0, 0, 1).To16()) + "\x00\x50", "10.0.0.1:80"},
		{"not ASCII", connectTo("bücher.example", 80), "bücher.example:80"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := p.dial(t)
			say(t, c, hello+tt.request)
			hear(t, c, helloOK+"\x05\x01")
			if got := m.lastDialed(); got != tt.want {
				t.Errorf("Dial got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestHandshakesThatAreRefused(t *testing.T) {
	leak.Check(t)
	const refusal = "\x00\x01\x00\x00\x00\x00\x00\x00"
	m := newMesh()
	p := run(t, m, nil)
	for _, tt := range []struct{ name, send, want string }{
		{"BIND", hello + "\x05\x02\x00\x01\x7f\x00\x00\x01\x00\x07", helloOK + "\x05\x07" + refusal},
		{"UDP ASSOCIATE", hello + "\x05\x03\x00\x01\x00\x00\x00\x00\x00\x00", helloOK + "\x05\x07" + refusal},
		{"unknown command", hello + "\x05\x09\x00\x01\x7f\x00\x00\x01\x00\x07", helloOK + "\x05\x07" + refusal},
		{"unknown address type", hello + "\x05\x01\x00\x02abcdef", helloOK + "\x05\x08" + refusal},
		{"empty name", hello + connectTo("", 80), helloOK + "\x05\x04" + refusal},
		{"name in brackets", hello + connectTo("[node1]", 80), helloOK + "\x05\x04" + refusal},
		{"half of a pair of brackets", hello + connectTo("[fd00::1", 80), helloOK + "\x05\x04" + refusal},
		{"name with a newline", hello + connectTo("a\nb", 80), helloOK + "\x05\x04" + refusal},
		{"name with NUL", hello + connectTo("a\x00b", 80), helloOK + "\x05\x04" + refusal},
		{"only GSSAPI", "\x05\x01\x01", "\x05\xff"},
		{"no method", "\x05\x00", "\x05\xff"},
		{"wrong version in the request", hello + "\x04\x01\x00\x01\x7f\x00\x00\x01\x00\x07", helloOK},
		{"SOCKS4 BIND", "\x04\x02\x00\x50\x0a\x00\x00\x01user\x00", "\x00\x5b\x00\x00\x00\x00\x00\x00"},
		{"SOCKS4a to no name", "\x04\x01\x00\x50\x00\x00\x00\x01user\x00\x00", "\x00\x5b\x00\x00\x00\x00\x00\x00"},
		{"SOCKS4a to a name of 300 bytes", "\x04\x01\x00\x50\x00\x00\x00\x01user\x00" + strings.Repeat("a", 300) + "\x00", "\x00\x5b\x00\x00\x00\x00\x00\x00"},
		{"SOCKS4 with a user of 1000 bytes", "\x04\x01\x00\x50\x0a\x00\x00\x01" + strings.Repeat("u", 1000) + "\x00", ""},
		{"TLS", "\x16\x03\x01\x00\x05hello", ""},
		{"zeros", "\x00\x00\x00\x00", ""},
		{"SSH banner is not HTTP", "\xff\xfe", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := p.dial(t)
			say(t, c, tt.send)
			got, err := io.ReadAll(c)
			if string(got) != tt.want || err != nil && !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("the proxy said %q, %v; want %q", got, err, tt.want)
			}
		})
	}
	if got := m.lastDialed(); got != "" {
		t.Errorf("%q was dialed", got)
	}
}

// More data than the proxy reads must not turn the refusal into a reset.
func TestRefusalSurvivesPipelinedData(t *testing.T) {
	leak.Check(t)
	m := newMesh()
	m.errors["refused:7"] = syscall.ECONNREFUSED
	p := run(t, m, nil)
	c := p.dial(t)
	say(t, c, hello+connectTo("refused", 7)+strings.Repeat("x", 100<<10))
	hear(t, c, helloOK+"\x05\x05\x00\x01\x00\x00\x00\x00\x00\x00")
	hearEOF(t, c)
}

func TestOneByteAtATime(t *testing.T) {
	leak.Check(t)
	m := newMesh()
	m.server(t, "echo:7", echo)
	m.website(t, "site", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	p := run(t, m, nil)
	for name, s := range map[string]struct{ send, want string }{
		"SOCKS5": {"\x05\x03\x01\x00\x02" + connectTo("echo", 7) + "hello", helloOK + "\x05\x00\x00\x01\x7f\x00\x00\x01"},
		"HTTP":   {"CONNECT echo:7 HTTP/1.1\r\nHost: echo:7\r\n\r\nhello", "HTTP/1.1 200 Connection established\r\n\r\nhello"},
		"plain":  {"GET http://site/ HTTP/1.1\r\nHost: site\r\n\r\n", "HTTP/1.1 204 No Content\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			c := p.dial(t)
			c.SetNoDelay(true)
			for i := range len(s.send) {
				say(t, c, s.send[i:i+1])
			}
			hear(t, c, s.want)
			if name == "SOCKS5" {
				io.ReadFull(c, make([]byte, 2)) // the port
				hear(t, c, "hello")
			}
		})
	}
}

// What a client sends right after its request, even before the answer, reaches the target unchanged
// and in order.
func TestPipelinedData(t *testing.T) {
	leak.Check(t)
	m := newMesh()
	m.server(t, "echo:7", echo)
	p := run(t, m, nil)
	for _, size := range []int{1, 4000, 4096, 5000, 1 << 20} {
		for name, s := range map[string]struct {
			send  string
			reply int
		}{
			"SOCKS5": {hello + connectTo("echo", 7), 2 + 10},
			"HTTP":   {"CONNECT echo:7 HTTP/1.1\r\nHost: echo:7\r\n\r\n", len("HTTP/1.1 200 Connection established\r\n\r\n")},
		} {
			t.Run(fmt.Sprint(name, size), func(t *testing.T) {
				data := strings.Repeat("0123456789abcde", size/15+1)[:size]
				c := p.dial(t)
				go func() {
					io.WriteString(c, s.send+data)
					c.CloseWrite()
				}()
				got, err := io.ReadAll(c)
				if err != nil || len(got) != s.reply+size || string(got[s.reply:]) != data {
					t.Errorf("%d bytes came back, %v; want %d after the reply", len(got)-s.reply, err, size)
				}
			})
		}
	}
}

func TestBoundAddress(t *testing.T) {
	leak.Check(t)
	for _, tt := range []struct {
		name  string
		local net.Addr
		want  string
	}{
		{"IPv4", &net.TCPAddr{IP: net.IPv4(100, 64, 0, 2), Port: 258}, "\x01\x64\x40\x00\x02\x01\x02"},
		{"IPv6", &net.TCPAddr{IP: net.ParseIP("fd00::2"), Port: 258, Zone: "eth0"}, "\x04" + string(net.ParseIP("fd00::2")) + "\x01\x02"},
		{"nil", nil, "\x01\x00\x00\x00\x00\x00\x00"},
		{"nil TCP address", (*net.TCPAddr)(nil), "\x01\x00\x00\x00\x00\x00\x00"},
		{"empty TCP address", &net.TCPAddr{}, "\x01\x00\x00\x00\x00\x00\x00"},
		{"a type of its own", fakeAddr("100.64.0.2:258"), "\x01\x64\x40\x00\x02\x01\x02"},
		{"not an address", fakeAddr("pipe"), "\x01\x00\x00\x00\x00\x00\x00"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := newMesh()
			p := run(t, m, func(c *Config) {
				c.Dial = func(context.Context, string, string) (net.Conn, error) {
					a, b := net.Pipe()
					go func() { io.Copy(io.Discard, b); b.Close() }()
					return addressed{a, tt.local}, nil
				}
			})
			c := p.dial(t)
			say(t, c, hello+connectTo("any", 7))
			hear(t, c, helloOK+"\x05\x00\x00"+tt.want)
		})
	}
}

type fakeAddr string

func (fakeAddr) Network() string  { return "mesh" }
func (a fakeAddr) String() string { return string(a) }

type addressed struct {
	net.Conn
	local net.Addr
}

func (a addressed) LocalAddr() net.Addr { return a.local }
