package metrics_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"nexd/internal/leak"
	"nexd/internal/metrics"
	"nexd/mesh"
)

// scrape returns what Prometheus reads.
func scrape(t *testing.T, addr, path string) (int, string) {
	t.Helper()
	tr := &http.Transport{}
	defer tr.CloseIdleConnections()
	resp, err := (&http.Client{Transport: tr}).Get("http://" + addr + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b)
}

func TestScrape(t *testing.T) {
	leak.Check(t)
	n := uint64(0)
	s, err := metrics.Listen("127.0.0.1:0", func() []metrics.Family {
		n++
		return []metrics.Family{
			metrics.Gauge("nexd_things", "Things that exist now.", 3),
			metrics.GaugeBy("nexd_peers", "Peers by path.", "path", map[string]float64{"direct": 2, "relay": 1}),
			metrics.Counter("nexd_scrapes_total", "Scrapes.", n),
			metrics.CounterBy("nexd_bytes_total", "Bytes.", "direction", map[string]uint64{"in": 5, "out": 7}),
		}
	}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); s.Run(ctx) }()
	addr := s.Addr().String()
	scrape(t, addr, "/metrics")
	code, text := scrape(t, addr, "/metrics")
	for _, want := range []string{
		"# HELP nexd_things Things that exist now.\n# TYPE nexd_things gauge\nnexd_things 3\n",
		"# TYPE nexd_peers gauge\nnexd_peers{path=\"direct\"} 2\nnexd_peers{path=\"relay\"} 1\n",
		"# TYPE nexd_scrapes_total counter\nnexd_scrapes_total 2\n",
		"nexd_bytes_total{direction=\"out\"} 7\n",
		"\ngo_goroutines ",
		"\nprocess_cpu_seconds_total ",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("status %d, %q is missing", code, want)
		}
	}
	if code, _ := scrape(t, addr, "/"); code != http.StatusNotFound {
		t.Errorf("status %d for another path", code)
	}
	if _, err := metrics.Listen(addr, nil, nil); mesh.KindOf(err) != mesh.Conflict || !strings.Contains(err.Error(), addr+" is in use") {
		t.Errorf("a port in use: %v", err)
	}
	cancel()
	<-done
	again, err := metrics.Listen(addr, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatalf("the port is not free after Run: %v", err)
	}
	again.Close()
	(*metrics.Server)(nil).Close()
	(*metrics.Server)(nil).Run(context.Background())
}

func TestCheckAddr(t *testing.T) {
	for addr, fine := range map[string]bool{
		"127.0.0.1:9100": true, ":9100": true, "[::1]:9100": true, "localhost:0": true,
		"9100": false, "127.0.0.1": false, "127.0.0.1:": false, "": false,
	} {
		if err := metrics.CheckAddr(addr); (err == nil) != fine {
			t.Errorf("CheckAddr(%q) = %v", addr, err)
		}
	}
	if _, err := metrics.Listen("9100", nil, nil); mesh.KindOf(err) != mesh.Invalid {
		t.Errorf("Listen on a port alone: %v", err)
	}
}
