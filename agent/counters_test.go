package agent

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"nexd/forward/router"
	"nexd/internal/eventually"
	"nexd/internal/leak"
	"nexd/internal/testmap"
	"nexd/mesh"
	"nexd/node"
)

func freeTCPAddr(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

// TestCountersInStatusAndMetrics fetches a page from behind a router, and finds the traffic in the
// status and the metrics of both nodes.
func TestCountersInStatusAndMetrics(t *testing.T) {
	leak.Check(t)
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "hello") }))
	defer web.Close()
	_, webPort, _ := net.SplitHostPort(web.Listener.Addr().String())
	allow, err := router.ParseAllow("127.0.0.1:" + webPort)
	if err != nil {
		t.Fatal(err)
	}
	rd, ld, port := shortDir(t), shortDir(t), freeUDPPort(t)
	routerMap, laptopMap := staticPair(t, rd, ld, port)
	routerMetrics, laptopMetrics := freeTCPAddr(t), freeTCPAddr(t)
	r := run(t, Config{
		Config: node.Config{
			StateDir: rd, MapFile: routerMap, ListenPort: port,
			Advertise: testmap.Advertise(t, "10.99.0.1/32=127.0.0.1/32", "10.98.0.0/24=192.0.2.0/24"), AllowLocal: []router.Allow{allow},
		},
		ProxyListen: []string{"off"}, MetricsListen: routerMetrics,
	})
	changes := make(chan Change)
	laptop := run(t, Config{
		Config:      node.Config{StateDir: ld, MapFile: laptopMap},
		ProxyListen: []string{"127.0.0.1:0"}, MetricsListen: laptopMetrics, Forwards: []string{"-L 0:10.99.0.1:" + webPort}, Changes: changes,
	})
	if body, err := laptop.get("http://10.99.0.1:" + webPort); err != nil || body != "hello" {
		t.Fatalf("%q, %v", body, err)
	}
	eventually.True(t, "the connection ends", func() bool {
		s, err := laptop.client().Status(t.Context())
		return err == nil && s.Counters.Proxy.Active == 0
	})
	ls, err := laptop.client().Status(t.Context())
	if c := ls.Counters; err != nil || c.Stack == nil || c.Stack.TCPDialed != 1 || c.Proxy.Accepted != 1 || c.Proxy.Received == 0 || c.Filter.Passed == 0 || c.Filter.Dropped != 0 {
		t.Errorf("the laptop's counters: %+v, %v", c, err)
	}
	rs, err := r.client().Status(t.Context())
	if c := rs.Counters; err != nil || c.Router == nil || c.Router.Connected != 1 || c.Proxy.Accepted != 0 {
		t.Errorf("the router's counters: %+v, %v", c, err)
	}
	check := func(addr string, wants ...string) {
		t.Helper()
		tr := &http.Transport{DisableKeepAlives: true}
		text, err := fetch(&http.Client{Transport: tr}, "http://"+addr+"/metrics")
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range wants {
			if !strings.Contains(text, "\n"+want) {
				t.Errorf("%s: no line begins with %q", addr, want)
			}
		}
		checkMetricNames(t, text)
	}
	check(laptopMetrics, "nexd_joined 1\n", `nexd_peers{path="direct"} 1`, `nexd_peers{path="relay"} 0`, `nexd_forwards{listening="true"} 1`,
		"nexd_proxy_accepted_total 1\n", "nexd_proxy_clients 0\n", `nexd_stack_tcp_opened_total{by="dialed"} 1`, `nexd_filter_packets_total{result="dropped"} 0`,
		`nexd_received_dropped_total{reason="probe_forged"} 0`, "go_goroutines ")
	check(routerMetrics, `nexd_router_dials_total{result="connected"} 1`, `nexd_router_flows{protocol="tcp"} `, `nexd_router_bytes_total{direction="to_client"} `)
	changes <- Change{ProxyListen: laptop.cfg.ProxyListen, Forwards: []string{}}
	eventually.True(t, "the forward is gone", func() bool { fs, err := laptop.client().Forwards(t.Context()); return err == nil && len(fs) == 0 })
	check(laptopMetrics, `nexd_forwards{listening="true"} 0`)
	laptop.stop()
	ln, err := net.Listen("tcp", laptopMetrics)
	if err != nil {
		t.Fatalf("the metrics port is not free after the end: %v", err)
	}
	defer ln.Close()
	err = Run(t.Context(), Config{Config: node.Config{StateDir: ld, MapFile: laptopMap, Mode: node.Userspace}, Socket: filepath.Join(ld, "s"), ProxyListen: []string{"off"}, MetricsListen: laptopMetrics})
	if mesh.KindOf(err) != mesh.Conflict || !strings.Contains(err.Error(), "--metrics-listen="+laptopMetrics) {
		t.Errorf("a metrics port in use: %v", err)
	}
}

// checkMetricNames holds nexd's own metrics to the rules for names, and to docs/metrics.md.
func checkMetricNames(t *testing.T, text string) {
	t.Helper()
	page, err := os.ReadFile("../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`(?m)^# TYPE (nexd_\S+) (\S+)$`).FindAllStringSubmatch(text, -1) {
		if total := strings.HasSuffix(m[1], "_total"); total != (m[2] == "counter") {
			t.Errorf("%s is a %s", m[1], m[2])
		}
		if !strings.Contains(text, "# HELP "+m[1]+" ") {
			t.Errorf("%s has no help", m[1])
		}
		if name := regexp.MustCompile("`" + m[1] + "[`{]"); !name.Match(page) {
			t.Errorf("docs/metrics.md does not list %s", m[1])
		}
	}
}
