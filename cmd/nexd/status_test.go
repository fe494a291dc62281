package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"nexd/agent/localapi"
)

// TestStatusSaysWhoIsOffline: a node that is gone is not shown as reached through the
// relay, with the round trip it once had.
func TestStatusSaysWhoIsOffline(t *testing.T) {
	now := time.Now()
	status := localapi.Status{
		State: "running", Service: localapi.Service{URL: "https://mesh.example:8443", Connected: true},
		Peers: []localapi.Peer{
			{Name: "dead", Path: "relay", Why: "no direct address answers anymore", RTT: 5.3, LastSeen: now.Add(-3 * time.Minute)},
			{Name: "asleep", Path: "idle", Online: true},
			{Name: "gone", Path: "idle", LastSeen: now.Add(-2 * time.Hour)},
			{Name: "direct", Path: "direct", Endpoint: "192.0.2.7:51820", RTT: 1.5},
			{Name: "narrow", Path: "direct", Endpoint: "192.0.2.8:51820", RTT: 1.5, Largest: 1312, Limited: now.Add(-time.Minute)},
			{Name: "swallowed", Path: "direct", Endpoint: "192.0.2.9:51820", RTT: 1.5, Why: "data does not pass by it", Limited: now.Add(-time.Minute)},
			{Name: "far", Path: "relay", Why: "UDP is blocked here", RTT: 7, Online: true},
		},
	}
	line := func(name string) string {
		t.Helper()
		var b bytes.Buffer
		printStatus(&b, status, now)
		for l := range strings.Lines(b.String()) {
			if strings.HasPrefix(l, name+" ") {
				return strings.Join(strings.Fields(l), " ")
			}
		}
		t.Fatalf("no line of %s in\n%s", name, &b)
		return ""
	}
	for name, want := range map[string]string{
		"dead": "offline, last seen 3m0s ago - never", "asleep": "idle - never", "gone": "offline, last seen 2h0m0s ago - never",
		"direct": "direct 192.0.2.7:51820 1.5ms", "narrow": "direct 192.0.2.8:51820 (packets up to 1312 bytes), for 1m0s 1.5ms", "swallowed": "direct 192.0.2.9:51820: data does not pass by it, for 1m0s 1.5ms", "far": "relay: UDP is blocked here 7.0ms",
	} {
		if got := line(name); !strings.Contains(got, want) {
			t.Errorf("%q, want %q in it", got, want)
		}
	}
	status.Service.Connected = false // then nobody knows who is online
	if got := line("dead"); !strings.Contains(got, "relay: no direct") {
		t.Errorf("without the service: %q", got)
	}
}
