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
	if s := pacFile("p:1", Reach{Everything: true}); !strings.Contains(s, `return "SOCKS5 p:1; PROXY p:1"`) {
		t.Error(s)
	}
	script := pacFile("p:1", testReach)
	if !strings.Contains(script, `var names = ["node1"];`) || !strings.Contains(script, "[[44056,0],20]") {
		t.Error(script)
	}
	node, err := exec.LookPath("node")
	if err != nil {
		t.Log("no node to run the script with")
		return
	}
	for host, mesh := range map[string]bool{
		"node1": true, "NODE1.": true, "node1.nexd.internal": true, "node2": false, "nexd.internal": false, "example.org": false, "xnexd.internal": false,
		"172.24.0.10": true, "172.24.15.255": true, "172.24.16.0": false, "10.0.0.1": false,
		"fd00:24::1": true, "[fd00:24::1]": true, "fd00:24:0:1::": false, "::1": false,
	} {
		out, err := exec.Command(node, "-e", script+fmt.Sprintf("console.log(FindProxyForURL('', %q))", host)).CombinedOutput()
		if err != nil || strings.Contains(string(out), "SOCKS5") != mesh {
			t.Errorf("%s: %s, %v; want the mesh %v", host, out, err, mesh)
		}
	}
}
