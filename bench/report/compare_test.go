//go:build linux

package report

import (
	"bytes"
	"os"
	"strings"
	"testing"
)

func on(processor string, stolen, factor float64) *Results {
	r := example()
	r.Machine = Machine{Processor: processor, MHz: 2000, Cores: 2, Kernel: "6.1", Go: "go1.26", Congestion: "cubic"}
	r.Revision, r.StolenPercent = "abc", stolen
	for _, s := range r.Scenarios[0].Samples["nexd"] {
		s["down1_mbit"] *= factor
		s["down1_cpu"] /= factor
	}
	return r
}

func ExampleCompare() {
	Compare(os.Stdout, []*Results{on("Epyc", 0.2, 1), on("Xeon", 4.9, 0.5), on("Xeon", 7, 0.1)})
	// Output:
	// 1. Epyc, 2000 MHz, 2 cores, 0.2 % of its time stolen, Linux 6.1, go1.26, kernel TCP cubic; nexd at abc
	// 2. Xeon, 2000 MHz, 2 cores, 4.9 % of its time stolen, Linux 6.1, go1.26, kernel TCP cubic; nexd at abc
	// 3. Xeon, 2000 MHz, 2 cores, 7.0 % of its time stolen, Linux 6.1, go1.26, kernel TCP cubic; nexd at abc (NOT COMPARABLE: 7.0 % of the processor time was stolen)
	//
	// |                              | against |    run 1 |    run 2 |    run 3 |    least |
	// |------------------------------|--------:|---------:|---------:|---------:|---------:|
	// | down1                        |    wggo |    2.00× |    1.00× |    0.20× |    1.00× |
	// | CPU s/GB down1               |    wggo |    0.95× |    1.90× |    9.50× |    1.90× |
	// | median round trip under load |    idle |    2.50× |    2.50× |    2.50× |    2.50× |
	// | peak memory A                |         | 90.0 MiB | 90.0 MiB | 90.0 MiB | 90.0 MiB |
}

func TestRefusedAboveTheLimit(t *testing.T) {
	for _, tt := range []struct {
		stolen  float64
		allowed bool
		refused bool
	}{{0, false, false}, {StolenLimit, false, false}, {StolenLimit + 0.1, false, true}, {50, true, false}} {
		r := &Results{StolenPercent: tt.stolen, StolenAllowed: tt.allowed}
		if err := r.Refused(); (err != nil) != tt.refused {
			t.Errorf("%v %% stolen, allowed %v: %v", tt.stolen, tt.allowed, err)
		}
	}
	err := (&Results{StolenPercent: 7.34}).Refused()
	for _, want := range []string{"7.3 %", "limit is 5 %", "-allow-stolen"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing in %q", want, err)
		}
	}
}

func TestARefusedRunIsNotTheLast(t *testing.T) {
	dir := t.TempDir()
	path, err := on("Xeon", 7, 1).Save(dir)
	if err != nil || !strings.HasSuffix(path, "-refused.json") {
		t.Errorf("saved as %s, %v", path, err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("%v, %v", entries, err)
	}
	r, err := Load(path)
	if err != nil || r.StolenPercent != 7 || r.Machine.MHz != 2000 {
		t.Errorf("loaded %+v, %v", r, err)
	}
	if _, err := Load(dir); err == nil {
		t.Error("a directory was loaded")
	}
}

func TestTablesOfARunThatLostTimeAreMarked(t *testing.T) {
	r := on("Xeon", 7, 1)
	r.StolenAllowed = true
	var out bytes.Buffer
	Print(&out, r)
	if n := strings.Count(out.String(), "(NOT COMPARABLE: 7.0 % of the processor time was stolen)"); n != 2 {
		t.Errorf("%d of 2 tables are marked in\n%s", n, &out)
	}
	out.Reset()
	Print(&out, on("Xeon", 4, 1))
	if strings.Contains(out.String(), "NOT COMPARABLE") || !strings.Contains(out.String(), "Xeon, 2000 MHz, 2 cores, 4.0 % of its time stolen") {
		t.Errorf("printed\n%s", &out)
	}
}

func TestParseProcessor(t *testing.T) {
	for _, tt := range []struct {
		cpuinfo, name string
		mhz           float64
	}{
		{"processor\t: 0\ncpu family\t: 26\nmodel\t\t: 2\nmodel name\t: AMD EPYC\ncpu MHz\t\t: 2596.122\n\nprocessor\t: 1\nmodel name\t: other\n", "AMD EPYC (family 26, model 2)", 2596.122},
		{"processor\t: 0\nCPU implementer\t: 0x41\nCPU part\t: 0xd0c\n", "Arm implementer 0x41, part 0xd0c", 0},
		{"model name\t: riscy\n", "riscy", 0},
		{"", "unknown", 0},
	} {
		if name, mhz := parseProcessor(tt.cpuinfo); name != tt.name || mhz != tt.mhz {
			t.Errorf("%q: %q, %v", tt.cpuinfo, name, mhz)
		}
	}
}
