package tunnel

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.zx2c4.com/wireguard/device"
)

func TestLinesOfTheDeviceBecomeOurs(t *testing.T) {
	tn := newTestTunnel(t)
	k := key(5)
	if err := tn.SetPeers([]Peer{{Key: k}}); err != nil {
		t.Fatal(err)
	}
	p := tn.dev.LookupPeer(device.NoisePublicKey(k))
	var out bytes.Buffer
	l := newDeviceLog(slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug})))
	l.know(k)
	log := l.logger()
	for _, tt := range []struct {
		do   func()
		want []string
	}{
		{func() { log.Verbosef("%v - Sending handshake initiation", p) }, []string{"level=DEBUG", "peer=" + k.Short(), `detail="Sending handshake initiation"`}},
		{func() { log.Verbosef("%s - Retry %d of 50%%", p, 2) }, []string{"peer=" + k.Short(), `detail="Retry 2 of 50%"`}},
		{func() { log.Verbosef("Routine: %s - started", "x") }, []string{`detail="Routine: x - started"`}},
		{func() { log.Errorf("%v - Failed to send data packets: %v", p, errors.New("no route")) }, []string{"level=WARN", "peer=" + k.Short(), "no route"}},
		{func() { log.Errorf("100% plain") }, []string{`detail="100% plain"`}},
		{func() { l.forget(k); log.Verbosef("%v - Stopping", p) }, []string{"peer=peer("}},
	} {
		out.Reset()
		tt.do()
		for _, want := range tt.want {
			if !strings.Contains(out.String(), want) {
				t.Errorf("logged %q, want %q in it", out.String(), want)
			}
		}
	}
}

func TestRepeatedComplaintsAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		log := newDeviceLog(slog.New(slog.NewTextHandler(&out, nil))).logger()
		for range 100 {
			log.Errorf("Failed: %v", "network is down")
			log.Verbosef("not at this level")
		}
		if n := strings.Count(out.String(), "\n"); n != 1 {
			t.Errorf("%d lines", n)
		}
		time.Sleep(warnEvery)
		log.Errorf("Failed: %v", "still")
		if !strings.Contains(out.String(), "suppressed=99") {
			t.Errorf("logged %q", out.String())
		}
	})
}

func TestComplaintsAreBounded(t *testing.T) {
	l := newDeviceLog(nil)
	for i := range 5000 {
		l.due(strings.Repeat("x", i), time.Time{})
	}
	if len(l.last) > 1024 {
		t.Errorf("%d complaints kept", len(l.last))
	}
}
