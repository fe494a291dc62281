//go:build linux

package main

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"nexd/bench/lab"
	"nexd/bench/load"
	"nexd/bench/report"
)

// ways returns the ways of datagrams to the load server: a forward, and UDP ASSOCIATE. A
// system without a proxy has one way, which counts for both. A system whose proxy carries
// no datagrams has none.
func (d *deployment) ways() map[string]load.DatagramFlow {
	if d.system.proxy() == "" {
		return map[string]load.DatagramFlow{"udpfwd": {To: lab.Target}}
	}
	if f, ok := d.system.(interface{ udpForward() netip.AddrPort }); ok {
		return map[string]load.DatagramFlow{"udpfwd": {To: f.udpForward()}, "udpassoc": {Associate: true}}
	}
	return nil
}

// datagrams measures the rate of datagrams there and back, and the loss of a steady stream
// in one direction.
func (m *measurer) datagrams(ctx context.Context, d *deployment, s report.Sample) error {
	ways := d.ways()
	for name, flow := range ways {
		flow.Window = m.window
		if err := m.oneWay(ctx, d, name, flow, s); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	if len(ways) == 1 {
		for _, metric := range []string{"_pps", "_lost", "_steady_lost", "_cpu_us"} {
			if v, ok := s["udpfwd"+metric]; ok {
				s["udpassoc"+metric] = v
			}
		}
	}
	return nil
}

func (m *measurer) oneWay(ctx context.Context, d *deployment, name string, flow load.DatagramFlow, s report.Sample) error {
	var answered load.DatagramCount
	before, after, err := m.around(ctx, d, name, func() error {
		return d.load.Call(ctx, m.window+time.Minute, "Answered", flow, &answered)
	})
	if err != nil {
		return err
	}
	back := answered.Sent - answered.Lost
	s[name+"_pps"] = float64(back) / answered.Elapsed.Seconds()
	s[name+"_lost"] = percent(answered.Lost, answered.Sent)
	if d.a != nil && back > 0 {
		s[name+"_cpu_us"] = us(after.a-before.a+after.b-before.b) / float64(2*back)
	}
	var was, is int64
	if err := d.server.Call(ctx, load.DialLimit, "Datagrams", struct{}{}, &was); err != nil {
		return err
	}
	var steady load.DatagramCount
	if err := d.load.Call(ctx, m.window+time.Minute, "Steady", flow, &steady); err != nil {
		return err
	}
	sleep(ctx, load.AnswerLimit) // the last ones arrive
	if err := d.server.Call(ctx, load.DialLimit, "Datagrams", struct{}{}, &is); err != nil {
		return err
	}
	s[name+"_steady_lost"] = percent(steady.Sent-int(is-was), steady.Sent)
	return nil
}

// percent returns 0 for a whole of 0.
func percent(part, whole int) float64 {
	if whole == 0 {
		return 0
	}
	return 100 * float64(part) / float64(whole)
}
