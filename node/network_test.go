package node

import (
	"context"
	"net/netip"
	"os/exec"
	"testing"
	"time"

	"nexd/internal/leak"
	"nexd/tunnel/candidates"
	"nexd/tunnel/underlay"
)

func TestASleepIsAJumpOfTheWallClockAlone(t *testing.T) {
	for _, tt := range []struct {
		own, wall time.Duration
		want      bool
	}{
		{10 * time.Second, 10 * time.Second, false},
		{10 * time.Second, time.Hour, true},
		{time.Hour, time.Hour, false},
		{10 * time.Second, 12 * time.Second, false},
		{10 * time.Second, -time.Hour, false}, // somebody set the clock back
	} {
		if got := slept(tt.own, tt.wall); got != tt.want {
			t.Errorf("%v of its own, %v on the wall: slept %v", tt.own, tt.wall, got)
		}
	}
}

func TestNetworkEventsTellOfAnAddress(t *testing.T) {
	leak.Check(t)
	ctx, cancel := context.WithCancel(t.Context())
	events, done := make(chan struct{}, 1), make(chan error)
	go func() { done <- networkEvents(ctx, events) }()
	if out, err := exec.Command("ip", "addr", "add", "127.0.77.1/32", "dev", "lo").CombinedOutput(); err != nil {
		cancel()
		<-done
		t.Skipf("no address can be added here: %v %s", err, out)
	}
	defer exec.Command("ip", "addr", "del", "127.0.77.1/32", "dev", "lo").Run()
	select {
	case <-events:
	case <-time.After(100 * time.Millisecond): // the socket was opened after it
		exec.Command("ip", "addr", "del", "127.0.77.1/32", "dev", "lo").Run()
		select {
		case <-events:
		case <-time.After(3 * time.Second):
			t.Error("no event")
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestWayOfAPath(t *testing.T) {
	at := netip.MustParseAddrPort("192.0.2.7:1")
	for want, st := range map[string]underlay.PathStatus{
		"direct, for": {Addr: at, Proved: true, Probed: true, Why: "for"},
		"direct, old": {Addr: at, Proved: true, Resting: true, Relay: true, Why: "old"},
		"relay, both": {Addr: at, Proved: true, Relay: true, Why: "both"},
		"relay, only": {Relay: true, Why: "only"},
		"none, ":      {},
	} {
		if way, why := wayOf(st); way+", "+why != want {
			t.Errorf("%+v is %q, want %q", st, way+", "+why, want)
		}
	}
}

func TestNamedAddressesAreUsedOrRefusedAloud(t *testing.T) {
	var named []netip.AddrPort
	for port := range uint16(18) {
		named = append(named, netip.AddrPortFrom(netip.MustParseAddr("192.0.2.1"), port+1))
	}
	named[3] = netip.MustParseAddrPort("100.64.0.9:4")
	host := []candidates.Candidate{{Addr: netip.MustParseAddrPort("192.0.2.1:1"), Interface: "eth0"}, {Addr: netip.MustParseAddrPort("192.0.2.2:1"), Interface: "eth0"}}
	all := describe(named, nil, host, func(a netip.Addr) string {
		if a == named[3].Addr() {
			return "in the mesh"
		}
		return ""
	})
	if len(all) != 19 {
		t.Fatalf("%d addresses: %+v", len(all), all)
	}
	for i, c := range all {
		why := ""
		switch {
		case i == 3:
			why = "in the mesh"
		case i > 16:
			why = "more than 16 addresses"
		}
		if c.Why != why || (c.State == candidateOffered) != (why == "") {
			t.Errorf("address %d: %+v", i, c)
		}
	}
}
