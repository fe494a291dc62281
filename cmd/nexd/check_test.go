package main

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"nexd/agent/localapi"
	"nexd/mesh"
)

func TestCheckStatus(t *testing.T) {
	now := time.Date(2026, 12, 1, 12, 4, 4, 0, time.Local)
	for name, tt := range map[string]struct {
		s    localapi.Status
		want string // output; empty: all is well
	}{
		"well":    {localapi.Status{State: "running"}, ""},
		"joining": {localapi.Status{State: "joining"}, "this node is joining\n"},
		"each kind": {localapi.Status{
			State: "running", Trouble: localapi.Trouble{Problems: []mesh.Problem{{What: "no way", Since: now.Add(-time.Minute)}, {What: "no route", Why: "taken", WayOut: "move"}}},
		}, "no way since 12:03:04 (1m0s)\nno route: taken; move\n"},
	} {
		var out strings.Builder
		err := checkStatus(&out, tt.s, now)
		if out.String() != tt.want || (err == nil) != (tt.want == "") {
			t.Errorf("%s: %q, %v", name, out.String(), err)
		}
	}
}

func TestPrintCandidates(t *testing.T) {
	now := time.Unix(100, 0)
	at := netip.MustParseAddrPort("192.0.2.7:51820")
	var out strings.Builder
	printCandidates(&out, localapi.Status{
		Node:       localapi.Node{Name: "laptop"},
		Candidates: []localapi.Candidate{{Addr: at, From: "tun1", State: "refused", Why: "excluded: interface tun1"}},
		Peers: []localapi.Peer{
			{Name: "node1", Candidates: []localapi.Candidate{{Addr: at, State: "used", RTT: 1.5, Since: now.Add(-2 * time.Second)}}},
			{Name: "node2", Path: "idle"},
		},
	}, now)
	got := strings.Join(strings.Fields(out.String()), " ")
	want := "NODE ADDRESS FROM STATE RTT SINCE WHY laptop 192.0.2.7:51820 tun1 refused - never excluded: interface tun1 node1 192.0.2.7:51820 - used 1.5ms 2s ago - node2 - - idle - - -"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
