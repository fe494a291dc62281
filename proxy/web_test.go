package proxy

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"nexd/internal/eventually"
	"nexd/internal/leak"
)

// website puts an HTTP server on the mesh at HOST:80.
func (m *fakeMesh) website(t testing.TB, host string, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	m.hosts[host+":80"] = s.Listener.Addr().String()
	return s
}

// browser is an HTTP client that uses the proxy.
func (r *running) browser(t testing.TB) *http.Client {
	u := &url.URL{Scheme: "http", Host: r.addr}
	tr := &http.Transport{Proxy: http.ProxyURL(u)}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: 20 * time.Second}
}

func TestHTTPStatuses(t *testing.T) {
	leak.Check(t)
	m := newMesh()
	for _, f := range failures {
		m.errors[f.name+":80"] = f.err
	}
	p := run(t, m, nil)
	for _, f := range failures {
		for name, request := range map[string]string{
			"CONNECT": "CONNECT %s:80 HTTP/1.1\r\nHost: x\r\n\r\n",
			"GET":     "GET http://%s/page HTTP/1.1\r\nHost: x\r\n\r\n",
			"POST":    "POST http://%s/page HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi",
		} {
			t.Run(name+" "+f.name, func(t *testing.T) {
				c := p.dial(t)
				say(t, c, fmt.Sprintf(request, f.name))
				res, err := http.ReadResponse(bufio.NewReader(c), nil)
				if err != nil {
					t.Fatal(err)
				}
				body, err := io.ReadAll(res.Body)
				if res.StatusCode != f.status || err != nil || !strings.Contains(string(body), f.name) || !strings.Contains(string(body), f.err.Error()) {
					t.Errorf("%s %q, %v; want %d with the address and %q", res.Status, body, err, f.status, f.err)
				}
			})
		}
	}
}

// A literal address has many forms in a request, and one for Dial.
func TestAddressesInHTTPRequests(t *testing.T) {
	leak.Check(t)
	m := newMesh()
	p := run(t, m, nil)
	for _, tt := range []struct{ host, want string }{
		{"172.24.0.10", "172.24.0.10"},
		{"172.24.0.10.", "172.24.0.10"},
		{"[fd00::1]", "[fd00::1]"},
		{"[FD00:0::1]", "[fd00::1]"},
		{"[::ffff:172.24.0.10]", "172.24.0.10"},
		{"[fd00::1%25eth0]", "[fd00::1]"},
		{"Node1.", "Node1."},
	} {
		for name, request := range map[string]string{
			"CONNECT": "CONNECT %s:80 HTTP/1.1\r\nHost: x\r\n\r\n",
			"GET":     "GET http://%s/page HTTP/1.1\r\nHost: x\r\n\r\n",
			"POST":    "POST http://%s:80/page HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi",
		} {
			t.Run(name+" "+tt.host, func(t *testing.T) {
				c := p.dial(t)
				say(t, c, fmt.Sprintf(request, tt.host))
				res, err := http.ReadResponse(bufio.NewReader(c), nil)
				if err != nil {
					t.Fatal(err)
				}
				io.Copy(io.Discard, res.Body)
				if got, want := m.lastDialed(), tt.want+":80"; !strings.EqualFold(got, want) {
					t.Errorf("Dial got %q, want %q", got, want)
				}
			})
		}
	}
}

func TestRequestsThatAreNotForAProxy(t *testing.T) {
	leak.Check(t)
	p := run(t, newMesh(), nil)
	for _, tt := range []struct {
		name, send string
		status     int
		body       string
	}{
		{"relative", "GET / HTTP/1.1\r\nHost: x\r\n\r\n", 400, "This is a proxy"},
		{"relative HTTP/1.0", "GET /index.html HTTP/1.0\r\n\r\n", 400, "curl -x socks5h://" + p.addr},
		{"asterisk", "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", 400, "This is a proxy"},
		{"https", "GET https://x/ HTTP/1.1\r\nHost: x\r\n\r\n", 400, "for https:// use CONNECT"},
		{"ftp", "GET ftp://x/ HTTP/1.1\r\nHost: x\r\n\r\n", 400, "for ftp:// use CONNECT"},
		{"CONNECT without port", "CONNECT node1 HTTP/1.1\r\nHost: node1\r\n\r\n", 400, "must be HOST:PORT"},
		{"CONNECT with port 0", "CONNECT node1:0 HTTP/1.1\r\nHost: x\r\n\r\n", 400, "no valid port"},
		{"CONNECT with a large port", "CONNECT node1:65536 HTTP/1.1\r\nHost: x\r\n\r\n", 400, "no valid port"},
		{"CONNECT to nobody", "CONNECT :80 HTTP/1.1\r\nHost: x\r\n\r\n", 502, "is not a valid host name"},
		{"large port in a URL", "GET http://x:99999/ HTTP/1.1\r\nHost: x\r\n\r\n", 400, "no valid port"},
		{"no host in a URL", "GET http:///x HTTP/1.1\r\nHost: x\r\n\r\n", 400, ""},
		{"CONNECT to a name of 300 bytes", "CONNECT " + strings.Repeat("a", 300) + ":80 HTTP/1.1\r\nHost: x\r\n\r\n", 502, "is not a valid host name"},
		{"a URL of 300 KiB", "GET http://x/" + strings.Repeat("a", 300<<10) + " HTTP/1.1\r\nHost: x\r\n\r\n", 431, ""},
		{"a header of 300 KiB", "GET http://x/ HTTP/1.1\r\nX: " + strings.Repeat("a", 300<<10) + "\r\n\r\n", 431, ""},
		{"HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, "This is a proxy"},
		{"not HTTP", "HELO example.com\r\n\r\n", 400, "400 Bad Request"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := p.dial(t)
			say(t, c, tt.send)
			res, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(res.Body)
			if res.StatusCode != tt.status || !strings.Contains(res.Status+string(body), tt.body) {
				t.Errorf("the answer is %s %q; want %d with %q", res.Status, body, tt.status, tt.body)
			}
		})
	}
}

// A plain request is forwarded as the client made it, without the hop-by-hop headers.
func TestPlainRequestIsKept(t *testing.T) {
	leak.Check(t)
	m := newMesh()
	got := make(chan string, 1)
	m.server(t, "site:80", func(c *net.TCPConn) {
		in := textproto.NewReader(bufio.NewReader(c))
		var lines []string
		for {
			line, err := in.ReadLine()
			if err != nil || line == "" {
				break
			}
			lines = append(lines, line)
		}
		got <- strings.Join(lines, "\n")
		io.WriteString(c, "HTTP/1.1 299 Fine\r\nX-Answer: yes\r\nConnection: X-Hop\r\nX-Hop: hidden\r\nKeep-Alive: timeout=5\r\nContent-Length: 2\r\n\r\nok")
	})
	p := run(t, m, nil)
	c := p.dial(t)
	say(t, c, "GET http://site/a//b%2Fc?x=1;y=%zz&z HTTP/1.1\r\nHost: other\r\nProxy-Connection: keep-alive\r\n"+
		"Proxy-Authorization: Basic Zm9v\r\nConnection: X-Secret\r\nX-Secret: 1\r\nX-Forwarded-For: 192.0.2.1\r\nX-Custom: kept\r\n\r\n")
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(res.Body)
	sent := <-got
	lines := strings.Split(sent, "\n")
	if lines[0] != "GET /a//b%2Fc?x=1;y=%zz&z HTTP/1.1" {
		t.Errorf("request line %q", lines[0])
	}
	for _, want := range []string{"Host: site", "X-Forwarded-For: 192.0.2.1", "X-Custom: kept"} {
		if !strings.Contains(sent, want) {
			t.Errorf("%q is missing in:\n%s", want, sent)
		}
	}
	for _, hop := range []string{"Proxy-", "X-Secret", "User-Agent", "Accept-Encoding", "Connection: "} {
		if strings.Contains(sent, hop) {
			t.Errorf("%q was sent on:\n%s", hop, sent)
		}
	}
	if res.Status != "299 Fine" && res.StatusCode != 299 || string(body) != "ok" || res.Header.Get("X-Answer") != "yes" ||
		res.Header.Get("X-Hop") != "" || res.Header.Get("Keep-Alive") != "" || res.Header.Get("Date") != "" || res.Header.Get("Content-Type") != "" {
		t.Errorf("answer %s %q %v", res.Status, body, res.Header)
	}
}

func TestPlainMethodsAndBodies(t *testing.T) {
	leak.Check(t)
	m := newMesh()
	m.website(t, "site", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s %d %s", r.Method, r.Host, r.ContentLength, body)
	})
	p := run(t, m, nil)
	b := p.browser(t)
	for _, tt := range []struct{ method, body, want string }{
		{"GET", "", "GET site 0 "}, {"POST", "data", "POST site 4 data"}, {"PUT", "data", "PUT site 4 data"},
		{"DELETE", "", "DELETE site 0 "}, {"OPTIONS", "", "OPTIONS site 0 "}, {"PATCH", "data", "PATCH site 4 data"},
		{"PROPFIND", "<x/>", "PROPFIND site 4 <x/>"}, {"HEAD", "", ""}, {"GET", "odd", "GET site 3 odd"},
	} {
		req, _ := http.NewRequest(tt.method, "http://site/", strings.NewReader(tt.body))
		res, err := b.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		res.Body.Close()
		if string(body) != tt.want || err != nil || res.StatusCode != 200 {
			t.Errorf("%s: %s %q, %v; want %q", tt.method, res.Status, body, err, tt.want)
		}
	}
	if s := p.Stats(); s.Accepted != 1 || s.Sent == 0 || s.Received == 0 {
		t.Errorf("Stats = %+v; want all over one connection", s)
	}
}

// A response is forwarded piece by piece, as the target sends it.
func TestPlainAnswersStream(t *testing.T) {
	leak.Check(t)
	m := newMesh()
	next := make(chan bool)
	m.website(t, "site", func(w http.ResponseWriter, r *http.Request) {
		for range 3 {
			io.WriteString(w, "tick")
			w.(http.Flusher).Flush()
			<-next
		}
	})
	p := run(t, m, nil)
	res, err := p.browser(t).Get("http://site/")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	for range 3 {
		piece := make([]byte, 4)
		if _, err := io.ReadFull(res.Body, piece); err != nil || string(piece) != "tick" {
			t.Fatalf("%q, %v", piece, err)
		}
		next <- true
	}
}

func TestExpectContinue(t *testing.T) {
	leak.Check(t)
	m := newMesh()
	m.website(t, "site", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Refuse") != "" {
			w.WriteHeader(http.StatusRequestEntityTooLarge)
			return
		}
		body, _ := io.ReadAll(r.Body)
		fmt.Fprint(w, len(body))
	})
	p := run(t, m, nil)
	b := p.browser(t)
	b.Transport.(*http.Transport).ExpectContinueTimeout = 5 * time.Second
	for _, refuse := range []string{"", "yes"} {
		continued := false
		ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{Got100Continue: func() { continued = true }})
		req, _ := http.NewRequestWithContext(ctx, "PUT", "http://site/", strings.NewReader(strings.Repeat("x", 1000)))
		req.Header.Set("Expect", "100-continue")
		req.Header.Set("X-Refuse", refuse)
		res, err := b.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if refuse == "" && (!continued || string(body) != "1000") || refuse != "" && res.StatusCode != 413 {
			t.Errorf("refuse=%q: %s %q, continued %v", refuse, res.Status, body, continued)
		}
	}
}

func TestHTTP10Clients(t *testing.T) {
	leak.Check(t)
	m := newMesh()
	m.website(t, "site", func(w http.ResponseWriter, r *http.Request) {
		for range 3 { // chunked by nature
			io.WriteString(w, "piece")
			w.(http.Flusher).Flush()
		}
	})
	m.server(t, "breaks:80", func(c *net.TCPConn) {
		c.Read(make([]byte, 4096))
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nonly so much")
	})
	p := run(t, m, nil)
	c := p.dial(t)
	say(t, c, "GET http://site/ HTTP/1.0\r\n\r\n")
	answer, err := io.ReadAll(c)
	if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.0 200 OK\r\n") || !strings.HasSuffix(string(answer), "\r\n\r\npiecepiecepiece") {
		t.Errorf("answer %q, %v", answer, err)
	}
	c = p.dial(t)
	say(t, c, "GET http://breaks/ HTTP/1.0\r\n\r\n")
	if answer, err := io.ReadAll(c); err == nil {
		t.Errorf("an answer that broke off looks complete: %q", answer)
	}
}

// A request that must not be repeated is sent once, on a connection of its own. Any other request
// is repeated if the kept connection was stale.
func TestNothingIsSentTwice(t *testing.T) {
	leak.Check(t)
	m := newMesh()
	var conns, posts, gets atomic.Int32
	m.server(t, "flaky:80", func(c *net.TCPConn) { // answers one request per connection and promises more
		conns.Add(1)
		req, err := http.ReadRequest(bufio.NewReader(c))
		if err != nil {
			return
		}
		switch req.Method {
		case "POST":
			posts.Add(1)
			if req.URL.Path == "/die" {
				return
			}
		case "GET":
			gets.Add(1)
		}
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		time.Sleep(5 * time.Millisecond) // the server closes a kept connection at a moment of its own: that race is tested
	})
	p := run(t, m, nil)
	b := p.browser(t)
	for i := range 10 {
		res, err := b.Get("http://flaky/")
		if err != nil || res.StatusCode != 200 {
			t.Fatalf("GET %d: %v, %v", i, res, err)
		}
		io.Copy(io.Discard, res.Body)
		res.Body.Close()
		time.Sleep(time.Duration(i) * time.Millisecond) // each round meets the race at another moment
		res, err = b.Post("http://flaky/", "text/plain", strings.NewReader("x"))
		if err != nil || res.StatusCode != 200 {
			t.Fatalf("POST %d: %v, %v", i, res, err)
		}
		io.Copy(io.Discard, res.Body)
		res.Body.Close()
	}
	if gets.Load() != 10 || posts.Load() != 10 {
		t.Errorf("%d GETs and %d POSTs arrived, want 10 each", gets.Load(), posts.Load())
	}
	res, err := b.Post("http://flaky/die", "text/plain", strings.NewReader("x"))
	if err != nil || res.StatusCode != 502 || posts.Load() != 11 {
		t.Errorf("POST to a server that dies: %v, %v, arrived %d times", res, err, posts.Load()-10)
	}
	res.Body.Close()
}

func TestKeptConnectionsToTargets(t *testing.T) {
	leak.Check(t)
	m := newMesh()
	site := m.website(t, "site", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.RemoteAddr) })
	p := run(t, m, nil)
	get := func(b *http.Client) string {
		res, err := b.Get("http://site/")
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		body, _ := io.ReadAll(res.Body)
		return string(body)
	}
	one, two := p.browser(t), p.browser(t)
	first, again, other := get(one), get(one), get(two)
	if first != again {
		t.Error("one client's requests used two connections")
	}
	if first == other {
		t.Error("two clients shared a connection")
	}
	one.CloseIdleConnections()
	two.CloseIdleConnections()
	eventually.True(t, "clients gone", func() bool { return p.Stats().Active == 0 })
	site.Config.SetKeepAlivesEnabled(true)
}

func TestUpgrade(t *testing.T) {
	leak.Check(t)
	m := newMesh()
	m.website(t, "site", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "echo" || r.Header.Get("Connection") != "Upgrade" {
			t.Errorf("headers %v", r.Header)
		}
		c, buf, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer c.Close()
		io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
		io.Copy(c, buf)
	})
	p := run(t, m, nil)
	c := p.dial(t)
	say(t, c, "GET http://site/ws HTTP/1.1\r\nHost: site\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
	in := bufio.NewReader(c)
	res, err := http.ReadResponse(in, nil)
	if err != nil || res.StatusCode != 101 {
		t.Fatalf("%v, %v", res, err)
	}
	say(t, c, "hello")
	got := make([]byte, 5)
	if _, err := io.ReadFull(in, got); err != nil || string(got) != "hello" {
		t.Errorf("%q, %v", got, err)
	}
	c.Close()
	eventually.True(t, "client gone", func() bool { return p.Stats().Active == 0 })
}

// Many concurrent requests, each from its own client, and clients that leave during an answer.
func TestPlainClientsThatLeave(t *testing.T) {
	leak.Check(t)
	m := newMesh()
	m.website(t, "big", func(w http.ResponseWriter, r *http.Request) {
		for range 1000 {
			if _, err := w.Write(make([]byte, 64<<10)); err != nil {
				return
			}
		}
	})
	p := run(t, m, nil)
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			c := p.dial(t)
			say(t, c, "GET http://big/ HTTP/1.1\r\nHost: big\r\n\r\n")
			io.CopyN(io.Discard, c, 100<<10)
			c.Close()
		})
	}
	wg.Wait()
	eventually.True(t, "clients gone", func() bool { return p.Stats().Active == 0 })
	if n := p.log.count("level=WARN") + p.log.count("level=ERROR"); n != 0 {
		t.Errorf("%d log lines above Debug and Info", n)
	}
}

func TestEnvironmentIsIgnored(t *testing.T) {
	leak.Check(t)
	t.Setenv("HTTP_PROXY", "http://192.0.2.1:9")
	t.Setenv("http_proxy", "http://192.0.2.1:9")
	m := newMesh()
	m.website(t, "site", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "here") })
	p := run(t, m, nil)
	res, err := p.browser(t).Get("http://site/")
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if got := m.lastDialed(); got != "site:80" {
		t.Errorf("%q was dialed", got)
	}
}

func TestNewRefuses(t *testing.T) {
	dial := func(context.Context, string, string) (net.Conn, error) { return nil, nil }
	for name, cfg := range map[string]Config{
		"no dialer":         {},
		"negative limit":    {Dial: dial, MaxConns: -1},
		"negative timeouts": {Dial: dial, IdleTimeout: -1},
	} {
		if _, err := New(cfg); err == nil || !strings.HasPrefix(err.Error(), "proxy: ") {
			t.Errorf("%s: New = %v", name, err)
		}
	}
}

// A panic of the proxy, which net/http survives, is logged as an error. Complaints of net/http
// about clients are not.
func TestComplaintsOfNetHTTP(t *testing.T) {
	logs := &lockedBuffer{}
	c := complaints{textLogger(logs)}
	io.WriteString(c, "http: TLS handshake error from 192.0.2.1: EOF\n")
	io.WriteString(c, "http: panic serving 192.0.2.1:1: boom\n")
	if logs.count("level=DEBUG") != 1 || logs.count("level=ERROR") != 1 {
		t.Errorf("logged:\n%s", logs.b.String())
	}
}
