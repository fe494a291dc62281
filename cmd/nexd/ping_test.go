package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net/netip"
	"strings"
	"testing"
	"time"

	"nexd/agent/localapi"
	"nexd/internal/program"
	"nexd/mesh"
)

// echoes is an agent whose pings have the given round trips; 0 is no answer.
type echoes struct {
	localapi.Agent
	rtts []time.Duration
	path string
	n    int
}

func (e *echoes) Ping(context.Context, localapi.PingRequest) (localapi.PingReply, error) {
	rtt := e.rtts[min(e.n, len(e.rtts)-1)]
	e.n++
	if rtt == 0 {
		return localapi.PingReply{}, mesh.Errorf(mesh.Unavailable, "no answer within 3s")
	}
	return localapi.PingReply{Address: netip.MustParseAddr("100.64.0.2"), RTT: rtt, Path: e.path, Why: "UDP is blocked"}, nil
}

func (e *echoes) Status(context.Context) localapi.Status {
	return localapi.Status{
		State: "running", Organization: "default", Node: localapi.Node{Name: "laptop", Addresses: addrs("100.64.0.1", "fd00::1")},
		Peers: []localapi.Peer{{Name: "node1", Addresses: addrs("100.64.0.2", "fd00::2")}, {Name: "old", Addresses: addrs("100.64.0.3")}},
	}
}

func addrs(all ...string) (out []netip.Addr) {
	for _, a := range all {
		out = append(out, netip.MustParseAddr(a))
	}
	return out
}

func TestPing(t *testing.T) {
	const ms = time.Millisecond
	for _, tt := range []struct {
		args string
		from *echoes
		want string
		code int
	}{
		{"-c3", &echoes{rtts: []time.Duration{2 * ms, 0, 4 * ms}, path: "relay"},
			"answer from 100.64.0.2: seq=1 time=2.0ms path=relay\nseq=2: no answer within 3s\nanswer from 100.64.0.2: seq=3 time=4.0ms path=relay\n" +
				"2 of 3 answered, round trip 2.0 to 4.0ms, mean 3.0ms\n", program.ExitFine},
		{"-c1", &echoes{rtts: []time.Duration{0}}, "seq=1: no answer within 3s\n0 of 1 answered\n", program.ExitFailed},
		{"-c2 --json", &echoes{rtts: []time.Duration{2 * ms, 0}, path: "relay"},
			`{"seq":1,"address":"100.64.0.2","rtt_ms":2,"path":"relay","why":"UDP is blocked"}` + "\n" + `{"seq":2,"error":"no answer within 3s"}` + "\n" +
				`{"sent":2,"answered":1,"min_ms":2,"mean_ms":2,"max_ms":2}` + "\n", program.ExitFine},
		{"-c1 --json", &echoes{rtts: []time.Duration{0}}, `{"seq":1,"error":"no answer within 3s"}` + "\n" + `{"sent":1,"answered":0}` + "\n", program.ExitFailed},
		{"--until-direct --json", &echoes{rtts: []time.Duration{2 * ms}, path: "direct 192.0.2.7:1"},
			`{"seq":1,"address":"100.64.0.2","rtt_ms":2,"path":"direct 192.0.2.7:1","why":"UDP is blocked"}` + "\n" +
				`{"sent":1,"answered":1,"min_ms":2,"mean_ms":2,"max_ms":2,"direct":true}` + "\n", program.ExitFine},
	} {
		t.Run(tt.args, func(t *testing.T) {
			socket := serveAgent(t, tt.from)
			var out, errs bytes.Buffer
			args := append([]string{"ping", "node1", "--socket=" + socket}, strings.Fields(tt.args)...)
			if code := run(t.Context(), args, program.Streams{Out: &out, Err: &errs}); code != tt.code || out.String() != tt.want {
				t.Errorf("exit %d, want %d\n%s%s\nwant\n%s", code, tt.code, &out, &errs, tt.want)
			}
			if strings.Contains(tt.args, "--json") {
				for line := range strings.Lines(out.String()) {
					if !json.Valid([]byte(line)) {
						t.Errorf("%s is not JSON", line)
					}
				}
			}
		})
	}
}

func TestIP(t *testing.T) {
	socket := serveAgent(t, &echoes{})
	for _, tt := range []struct {
		args, out, err string
		code           int
	}{
		{"", "100.64.0.1\nfd00::1\n", "", program.ExitFine},
		{"-4", "100.64.0.1\n", "", program.ExitFine},
		{"-6", "fd00::1\n", "", program.ExitFine},
		{"laptop", "100.64.0.1\nfd00::1\n", "", program.ExitFine},
		{"NODE1.nexd.internal. -6", "fd00::2\n", "", program.ExitFine},
		{"old -6", "", "old has no IPv6 address", program.ExitFailed},
		{"nodel", "", `no node "nodel" in organization default; did you mean node1?`, program.ExitFailed},
		{"elsewhere", "", "nexd status lists the nodes", program.ExitFailed},
		{"-4 -6", "", "can't be used together", program.ExitUsage},
	} {
		var out, errs bytes.Buffer
		args := append([]string{"ip", "--socket=" + socket}, strings.Fields(tt.args)...)
		if code := run(t.Context(), args, program.Streams{Out: &out, Err: &errs}); code != tt.code || out.String() != tt.out || !strings.Contains(errs.String(), tt.err) {
			t.Errorf("nexd ip %s: exit %d, %q, %q", tt.args, code, &out, &errs)
		}
	}
}

func TestIPBeforeTheJoin(t *testing.T) {
	socket := serveStand(t, &stand{})
	var out, errs bytes.Buffer
	if code := run(t.Context(), []string{"ip", "--socket=" + socket}, program.Streams{Out: &out, Err: &errs}); code != program.ExitUnreachable || out.Len() > 0 {
		t.Errorf("exit %d, %s%s", code, &out, &errs)
	}
}
