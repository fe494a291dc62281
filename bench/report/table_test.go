//go:build linux

package report

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// example are results of two systems in two rounds.
func example() *Results {
	r := &Results{Systems: []string{"nexd", "wggo"}, Options: map[string]string{"rounds": "2", "window": "1s"}, Took: "9s"}
	s := r.Scenario("fast", "a path")
	for _, v := range []float64{4000, 5000} {
		s.Add("nexd", Sample{"down1_mbit": v, "down1_cpu": 3, "rtt_p50_us": 200, "load_p50_us": 500, "peak_mib_a": 90})
		s.Add("wggo", Sample{"down1_mbit": v / 2, "down1_cpu": 3.158})
	}
	return r
}

func Example_printTable() {
	r := example()
	printTable(os.Stdout, scenarioTable(r.Scenarios[0], r.Systems)[:3])
	// Output:
	// |                        |             nexd |             wggo | /wggo |
	// |------------------------|-----------------:|-----------------:|------:|
	// | down, 1 stream, Mbit/s | 4500 [4000–5000] | 2250 [2000–2500] | 2.00× |
	// | CPU s/GB down 1, A+B   | 3.00 [3.00–3.00] | 3.16 [3.16–3.16] | 0.95× |
}

func Example_goals() {
	printTable(os.Stdout, goals(example()))
	// Output:
	// |                              | against |     nexd | at least |      aim |       |
	// |------------------------------|--------:|---------:|---------:|---------:|------:|
	// | down1                        |    wggo |    2.00× |     ≥ 1× |   ≥ 1.4× |   aim |
	// | CPU s/GB down1               |    wggo |    0.95× |   ≤ 0.9× |   ≤ 0.6× | short |
	// | median round trip under load |    idle |    2.50× |     ≤ 6× |     ≤ 3× |   aim |
	// | peak memory A                |         | 90.0 MiB | ≤ 80 MiB | ≤ 40 MiB | short |
}

func TestNumber(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 0.123: "0.12", 9.994: "9.99", 12.34: "12.3", 123.4: "123", 54321.6: "54322"} {
		if got := number(v); got != want {
			t.Errorf("number(%v) = %s, want %s", v, got, want)
		}
	}
	if got := summarize(nil).String(); got != "–" {
		t.Errorf("nothing is printed as %q", got)
	}
}

func TestMetricsHaveOneRow(t *testing.T) {
	known := map[string]bool{}
	for _, m := range metrics {
		if known[m.name] {
			t.Errorf("metric %s stands twice", m.name)
		}
		known[m.name] = true
	}
}

func TestResultsAreSavedAndPrinted(t *testing.T) {
	dir := t.TempDir()
	path, err := example().Save(filepath.Join(dir, "results"))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{path, filepath.Join(dir, "results", "last.json")} {
		b, err := os.ReadFile(p)
		var r Results
		if err != nil || json.Unmarshal(b, &r) != nil {
			t.Fatalf("%s: %v\n%s", p, err, b)
		}
		if got := r.find("fast").of("nexd", "down1_mbit"); got != (summary{4500, 4000, 5000, 2}) {
			t.Errorf("%s holds %+v", p, got)
		}
	}
	var out bytes.Buffer
	Print(&out, example())
	for _, want := range []string{"took 9s", "### fast: a path", "### where nexd stands"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is missing in\n%s", want, &out)
		}
	}
	if got := example().find("long").of("nexd", "down1_mbit"); got.N != 0 {
		t.Errorf("a scenario that did not run has %+v", got)
	}
}

func TestThisMachine(t *testing.T) {
	if m := New([]string{"raw"}, "cubic", nil).Machine; m.Cores < 1 || m.Kernel == "" || m.Go == "" {
		t.Errorf("machine %+v", m)
	}
}
