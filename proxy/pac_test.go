package proxy

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os/exec"
	"strings"
	"testing"

	"nexd/internal/leak"
)

var testReach = Reach{
	Names: []string{"node1"}, Suffixes: []string{"nexd.internal"},
	Prefixes: []netip.Prefix{netip.MustParsePrefix("172.24.0.0/20"), netip.MustParsePrefix("fd00:24::/64")},
}

func TestPAC(t *testing.T) {
	leak.Check(t)
	p := run(t, newMesh(), func(c *Config) { c.Reach = func() Reach { return testReach } })
	for _, tt := range []struct {
		name, request, host string
		status              int
		body                string
	}{
		{"as asked for", "GET /proxy.pac", "192.0.2.1:1080", 200, `"SOCKS5 192.0.2.1:1080; PROXY 192.0.2.1:1080"`},
		{"host that is code", "GET /proxy.pac", `x"+alert()+"`, 400, ""},
		{"host that is not plain", "GET /proxy.pac", "x_y", 200, "SOCKS5 " + p.addr},
		{"HEAD", "HEAD /proxy.pac", "x", 200, ""},
		{"POST", "POST /proxy.pac", "x", 405, "GET"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := p.dial(t)
			say(t, c, tt.request+" HTTP/1.1\r\nHost: "+tt.host+"\r\nConnection: close\r\n\r\n")
			method, _, _ := strings.Cut(tt.request, " ")
			res, err := http.ReadResponse(bufio.NewReader(c), &http.Request{Method: method})
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(res.Body)
			if res.StatusCode != tt.status || !strings.Contains(string(body), tt.body) {
				t.Errorf("%s %s; want %d with %s", res.Status, body, tt.status, tt.body)
			}
			if tt.status == 200 && (res.Header.Get("Content-Type") != "application/x-ns-proxy-autoconfig" || res.Header.Get("X-Content-Type-Options") != "nosniff") {
				t.Errorf("header %v", res.Header)
			}
		})
	}
}

func TestPACScript(t *testing.T) {
	if s := pacFile("p:1", testReach); !strings.Contains(s, `var names = ["node1"];`) || !strings.Contains(s, "[[44056,0],20]") {
		t.Error(s)
	}
	node, err := exec.LookPath("node")
	if err != nil {
		t.Log("no node to run the script with")
		return
	}
	reach := testReach
	reach.Except = []string{"Nexd.Example.Org.", "172.24.0.1", "[fd00:24::53]"}
	everything := reach
	everything.Everything = true
	const always, never, outside = 1, 2, 3 // outside: only with Everything
	hosts := map[string]int{
		"node1": always, "NODE1.": always, "node1.nexd.internal": always,
		"node2": outside, "nexd.internal": outside, "example.org": outside, "xnexd.internal": outside,
		"172.24.0.10": always, "172.24.0.10.": always, "172.24.15.255": always, "172.24.16.0": outside, "10.0.0.1": outside,
		"fd00:24::1": always, "[fd00:24::1]": always, "fd00:24::1%eth0": always, "fd00:24:0:1::": outside, "::1": outside,
		"::ffff:172.24.0.10": always, "[::ffff:ac18:a]": always, "[::ffff:10.0.0.1]": outside, "64:ff9b::172.24.0.10": outside,
		"nexd.example.org": never, "NEXD.example.org.": never, "x.nexd.example.org": outside,
		"172.24.0.1": never, "172.24.0.1.": never, "[::ffff:172.24.0.1]": never, "fd00:24::53": never, "[fd00:24:0:0::53]": never,
	}
	for name, r := range map[string]Reach{"mesh": reach, "everything": everything} {
		script := pacFile("p:1", r)
		for host := range hosts {
			script += fmt.Sprintf("console.log(%q, FindProxyForURL('', %q))\n", host, host)
		}
		out, err := exec.Command(node, "-e", script).CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v", out, err)
		}
		for line := range strings.Lines(string(out)) {
			host, answer, _ := strings.Cut(strings.TrimSpace(line), " ")
			want := "DIRECT"
			if place := hosts[host]; place == always || place == outside && r.Everything {
				want = "SOCKS5 p:1; PROXY p:1"
			}
			if answer != want {
				t.Errorf("%s: %s is answered by %q, want %q", name, host, answer, want)
			}
		}
	}
}
