//go:build linux

package main

import (
	"io"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestParseOptions(t *testing.T) {
	for _, tt := range []struct {
		name string
		args []string
		ok   func(o options) bool
	}{
		{"defaults", nil, func(o options) bool {
			return o.rounds == 5 && o.window == 1500*time.Millisecond && reflect.DeepEqual(o.scenarios, scenarioNames()) &&
				reflect.DeepEqual(o.systems, systemNames()) && o.bin != ""
		}},
		{"quick", []string{"-quick"}, func(o options) bool {
			return o.rounds == 2 && o.window == time.Second && reflect.DeepEqual(o.scenarios, []string{"fast"}) &&
				reflect.DeepEqual(o.systems, []string{"raw", "nexd", "stock", "wggo"})
		}},
		{"quick, but what is said counts", []string{"-quick", "-rounds=7", "-scenarios=loss", "-window=3s"}, func(o options) bool {
			return o.rounds == 7 && o.window == 3*time.Second && reflect.DeepEqual(o.scenarios, []string{"loss"}) && o.lossWindow == 5*time.Second
		}},
		{"lists", []string{"-systems=nexd,wggo", "-measures=down1, up1"}, func(o options) bool {
			return len(o.systems) == 2 && o.wants("up1") && !o.wants("down8")
		}},
		{"stolen time", []string{"-allow-stolen"}, func(o options) bool { return o.allowStolen && o.compare == nil }},
		{"compare", []string{"-compare", "a.json", "b.json"}, func(o options) bool {
			return reflect.DeepEqual(o.compare, []string{"a.json", "b.json"})
		}},
		{"a further nexd", []string{"-systems=nexd", "-nexd=old=/x/nexd", "-nexd", "one=GOMAXPROCS=1 GOGC=50 /y/nexd"}, func(o options) bool {
			return reflect.DeepEqual(o.systems, []string{"nexd", "old", "one"}) &&
				reflect.DeepEqual(o.nexds[1], variant{"one", []string{"GOMAXPROCS=1", "GOGC=50"}, "/y/nexd"})
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o, err := parseOptions(tt.args, io.Discard)
			if err != nil || !tt.ok(o) {
				t.Errorf("parseOptions(%q) = %+v, %v", tt.args, o, err)
			}
		})
	}
}

func TestParseOptionsRefuses(t *testing.T) {
	for want, args := range map[string][]string{
		`no system is called "wg"`:        {"-systems=raw,wg"},
		`no scenario is called "slow"`:    {"-scenarios=slow"},
		`no measure is called "down2"`:    {"-measures=down2"},
		`0 rounds`:                        {"-rounds=0"},
		`a window under 100ms`:            {"-window=1ms"},
		`loss 1 is not a share`:           {"-loss=1"},
		`unexpected argument "now"`:       {"now"},
		`-compare needs at least one`:     {"-compare"},
		`want NAME=PATH`:                  {"-nexd=/x/nexd"},
		`"GOGC" in "a=GOGC /x" is not VA`: {"-nexd=a=GOGC /x"},
	} {
		if _, err := parseOptions(args, io.Discard); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("parseOptions(%q): %v, want %q", args, err, want)
		}
	}
}

func TestScenariosKnowTheirMeasures(t *testing.T) {
	o, err := parseOptions(nil, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if got := scenarios(o); len(got) != len(scenarioNames()) {
		t.Errorf("%d scenarios", len(got))
	}
	known := map[string]bool{}
	for _, m := range measureNames() {
		known[m] = true
	}
	for _, sc := range scenarios(o) {
		if sc.title == "" || sc.window == 0 || len(sc.measures) == 0 {
			t.Errorf("scenario %+v is not complete", sc)
		}
		for _, m := range sc.measures {
			if !known[m] {
				t.Errorf("scenario %s measures %q", sc.name, m)
			}
		}
	}
	o.measures = []string{mUp1}
	for _, sc := range scenarios(o) {
		if sc.name != "fast" && slices.Contains(sc.systems, "nexd-tun") {
			t.Errorf("scenario %s measures nexd-tun again", sc.name)
		}
	}
	o.named = true
	if got := scenarios(o)[1].systems; !reflect.DeepEqual(got, o.systems) {
		t.Errorf("systems that were named: %q", got)
	}
	if got := scenarios(o)[0].measures; !reflect.DeepEqual(got, []string{mUp1}) {
		t.Errorf("chosen up1, measured %v", got)
	}
}

func TestOrderTurns(t *testing.T) {
	systems := []string{"a", "b", "c"}
	for round, want := range []string{"abc", "bca", "cab", "abc"} {
		if got := strings.Join(order(systems, round), ""); got != want {
			t.Errorf("round %d: %s, want %s", round, got, want)
		}
	}
}

func TestNewSystem(t *testing.T) {
	o := options{nexds: []variant{{name: "old", path: "/x"}}}
	for name, proxy := range map[string]string{"raw": "", "nexd": socksPort, "stock": socksPort, "wggo": "", "nexd-tun": "", "old": socksPort, "nexd-relay-udp": socksPort, "nexd-relay-ws": socksPort} {
		if got := newSystem(name, o).proxy(); got != proxy {
			t.Errorf("%s goes through %q, want %q", name, got, proxy)
		}
	}
}
