package proxy

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"nexd/internal/budget"
	"nexd/internal/eventually"
	"nexd/internal/leak"
)

// The refusals at each limit, in the client's own protocol.
var turnedAway = []struct{ name, send, want string }{
	{"SOCKS5", hello, "\x05\xff"},
	{"SOCKS4", "\x04\x01\x00\x07\x0a\x00\x00\x01\x00", "\x00\x5b"},
	{"HTTP", "CONNECT x:7 HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 503 Service Unavailable\r\n"},
	{"other", "\x16\x03\x01", ""},
}

func TestAtALimitNewOnesAreToldAndOldOnesGoOn(t *testing.T) {
	for why, set := range map[string]func(*Config){
		"too many connections":                  func(c *Config) { c.MaxConns = 1 },
		"too many connections from this client": func(c *Config) { c.MaxPerClient = 1 },
		"the memory limit is reached":           func(c *Config) { c.Budget = budget.New(budget.TCP) },
	} {
		t.Run(why, func(t *testing.T) {
			leak.Check(t)
			m := newMesh()
			m.server(t, "echo:7", echo)
			p := run(t, m, set)
			old := p.socksTo(t, "echo")
			for _, tt := range turnedAway {
				c := p.dial(t)
				say(t, c, tt.send)
				got, _ := io.ReadAll(c)
				if !strings.HasPrefix(string(got), tt.want) || tt.want == "" && len(got) > 0 {
					t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
				}
				if tt.name == "HTTP" && !strings.Contains(string(got), why+".") {
					t.Errorf("%q does not say %q", got, why)
				}
			}
			say(t, old, "x")
			hear(t, old, "x")
			if s := p.Stats(); s.Refused != int64(len(turnedAway)) || s.Active != 1 {
				t.Errorf("Stats = %+v", s)
			}
			old.Close()
			eventually.True(t, "room again", func() bool { return p.Stats().Active == 0 })
			p.socksTo(t, "echo")
		})
	}
}

func TestHandshakesInProgressHaveALimit(t *testing.T) {
	leak.Check(t)
	m := newMesh()
	m.server(t, "echo:7", echo)
	m.website(t, "site", func(http.ResponseWriter, *http.Request) {})
	p := run(t, m, func(c *Config) { c.MaxHandshakes = 3 })
	tunnels := []*net.TCPConn{p.socksTo(t, "echo"), p.socksTo(t, "echo"), p.socksTo(t, "echo"), p.socksTo(t, "echo")}
	half := []*net.TCPConn{p.dial(t), p.dial(t), p.dial(t)}
	say(t, half[0], "\x05")
	say(t, half[1], "GET http://si")
	say(t, half[2], "\x04\x01")
	eventually.True(t, "three handshakes", func() bool { return p.Stats().Handshakes == 3 })
	c := p.dial(t)
	say(t, c, "GET http://site/ HTTP/1.0\r\n\r\n")
	if got, _ := io.ReadAll(c); !strings.Contains(string(got), "503") || !strings.Contains(string(got), "too many handshakes") {
		t.Errorf("the fourth heard %q", got)
	}
	for _, tun := range tunnels {
		say(t, tun, "x")
		hear(t, tun, "x")
	}
	half[0].Close()
	say(t, half[1], "te/ HTTP/1.1\r\nHost: site\r\n\r\n") // a client that is served is no handshake
	hear(t, half[1], "HTTP/1.1 200 OK")
	eventually.True(t, "one handshake", func() bool { return p.Stats().Handshakes == 1 })
	p.socksTo(t, "echo")
}

// Three hundred clients with incomplete requests delay nobody else, and are gone with all their
// resources after the handshake timeout.
func TestThreeHundredHalfOpenHandshakes(t *testing.T) {
	leak.Check(t)
	m := newMesh()
	m.server(t, "echo:7", echo)
	p := run(t, m, func(c *Config) { c.HandshakeTimeout = 5 * time.Second })
	files := openFiles(t)
	var half []net.Conn
	for i := range 300 {
		c, err := net.Dial("tcp", p.addr)
		if err != nil {
			t.Fatal(err)
		}
		half = append(half, c)
		io.WriteString(c, []string{"", "\x05", "\x04", "GET http"}[i%4])
	}
	begin := time.Now()
	c := p.socksTo(t, "echo")
	say(t, c, "x")
	hear(t, c, "x")
	if took := time.Since(begin); took > 4*time.Second {
		t.Errorf("another client waited %v", took)
	}
	c.Close()
	eventually.True(t, "all are cut", func() bool { return p.Stats().Active == 0 && p.Stats().Handshakes == 0 })
	for _, c := range half {
		c.Close()
	}
	eventually.True(t, fmt.Sprintf("back to %d files", files), func() bool { return openFiles(t) <= files })
}
