//go:build linux

package main

import (
	"slices"
	"strings"
	"testing"
)

func TestWayIs(t *testing.T) {
	status := func(path, relay string) string {
		return `{"peers":[{"name":"bench-b","path":"` + path + `","why":"so"}],"relay":` + relay + `}`
	}
	for _, tt := range []struct{ name, status, fault string }{
		{"relay by UDP", status("relay", `{"connected":true,"carrier":"udp"}`), ""},
		{"direct", status("direct", `{"connected":true,"carrier":"udp"}`), `"direct"`},
		{"the other carrier", status("relay", `{"connected":true,"carrier":"websocket"}`), `"websocket"`},
		{"no relay", status("relay", `{"connected":false,"why":"away"}`), "no relay"},
		{"a static map", status("none", "null"), `"none"`},
		{"nobody", `{"peers":[]}`, "0 peers"},
		{"nonsense", `{`, "nexd status"},
	} {
		err := wayIs([]byte(tt.status), carrierUDP)
		if (err == nil) != (tt.fault == "") || err != nil && !strings.Contains(err.Error(), tt.fault) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.fault)
		}
	}
}

func TestTheRelayIsMeasuredOnTheFastPathInEverySecondRound(t *testing.T) {
	for _, tt := range []struct {
		system, scenario string
		round            int
		want             []string
	}{
		{"nexd", "fast", 1, []string{mStart, mRTT, mDown1, mDown8, mUp1}},
		{"nexd-relay-udp", "fast", 0, []string{mRTT, mDown1, mUp1}},
		{"nexd-relay-ws", "fast", 2, []string{mRTT, mDown1, mUp1}},
		{"nexd-relay-udp", "fast", 1, nil},
		{"nexd-relay-udp", "long", 0, nil},
	} {
		sc := scenario{name: tt.scenario, measures: []string{mStart, mRTT, mDown1, mDown8, mUp1}}
		if got := measured(tt.system, sc, tt.round); !slices.Equal(got, tt.want) {
			t.Errorf("%s, %s, round %d: %v, want %v", tt.system, tt.scenario, tt.round, got, tt.want)
		}
		if len(sc.measures) != 5 {
			t.Error("the scenario was changed")
		}
	}
}
