//go:build linux

package main

import (
	"context"
	"fmt"
	"time"

	"nexd/bench/lab"
	"nexd/bench/load"
	"nexd/bench/report"
)

// held is the number of idle connections of hold.
const held = 1000

// settle is the wait before reading the memory of a system. holdSettle is the wait after
// opening connections before they count as idle.
const (
	settle     = 700 * time.Millisecond
	holdSettle = 6 * time.Second
)

// measurer takes the measures of deployments.
type measurer struct {
	warm, window time.Duration
	profile      func(ctx context.Context, d *deployment, measure string) (stop func()) // around a window
}

// fresh takes the measures of a system without earlier traffic. It starts the system's client
// itself.
func (m *measurer) fresh(ctx context.Context, d *deployment, hold bool, s report.Sample) error {
	began := time.Now()
	if err := d.startClient(ctx); err != nil {
		return err
	}
	s["start_ms"] = ms(time.Since(began))
	time.Sleep(settle)
	beforeA, beforeB, err := d.memory()
	if err != nil {
		return err
	}
	s["idle_mib_a"], s["idle_mib_b"] = mib(beforeA.Resident), mib(beforeB.Resident)
	if !hold {
		return nil
	}
	var opened int
	if err := d.load.Call(ctx, time.Minute, "Hold", held, &opened); err != nil {
		return err
	}
	time.Sleep(holdSettle)
	afterA, afterB, err := d.memory()
	if err != nil {
		return err
	}
	s["conn_kib_a"] = (afterA.Resident - beforeA.Resident) / 1024 / float64(opened)
	s["conn_kib_b"] = (afterB.Resident - beforeB.Resident) / 1024 / float64(opened)
	return d.load.Call(ctx, time.Minute, "Release", struct{}{}, new(struct{}))
}

// take takes one measure of a running system.
func (m *measurer) take(ctx context.Context, d *deployment, measure string, s report.Sample) error {
	switch measure {
	case mRTT:
		return m.roundTrips(ctx, d, "rtt", s)
	case mDown1:
		return m.bulk(ctx, d, measure, load.Bulk{Streams: 1}, s)
	case mUp1:
		return m.bulk(ctx, d, measure, load.Bulk{Up: true, Streams: 1}, s)
	case mDown8:
		return m.bulk(ctx, d, measure, load.Bulk{Streams: 8}, s)
	case mUp8:
		return m.bulk(ctx, d, measure, load.Bulk{Up: true, Streams: 8}, s)
	case mLoad:
		return m.loaded(ctx, d, s)
	case mConn1:
		return m.connections(ctx, d, measure, 1, s)
	case mConnN:
		return m.connections(ctx, d, measure, 32, s)
	case mUDP:
		return m.datagrams(ctx, d, s)
	}
	return fmt.Errorf("no measure %q", measure)
}

// reading is all counters at one moment.
type reading struct {
	at               time.Time
	a, b, beside     time.Duration
	machine          lab.MachineTime
	toClient, toSink int64
}

func (d *deployment) read(ctx context.Context) (r reading, err error) {
	if r.a, err = lab.CPUOf(d.a); err != nil {
		return r, err
	}
	if r.b, err = lab.CPUOf(d.b); err != nil {
		return r, err
	}
	if r.beside, err = lab.CPUOf(d.beside()); err != nil {
		return r, err
	}
	if r.machine, err = lab.ReadMachine(); err != nil {
		return r, err
	}
	if err := d.load.Call(ctx, load.DialLimit, "Received", struct{}{}, &r.toClient); err != nil {
		return r, err
	}
	if err := d.server.Call(ctx, load.DialLimit, "Received", struct{}{}, &r.toSink); err != nil {
		return r, err
	}
	r.at = time.Now()
	return r, nil
}

func (d *deployment) memory() (a, b lab.Memory, err error) {
	if a, err = lab.MemoryOf(d.a); err != nil {
		return a, b, err
	}
	b, err = lab.MemoryOf(d.b)
	return a, b, err
}

// bulk measures the bytes received in a window of a running flow.
func (m *measurer) bulk(ctx context.Context, d *deployment, name string, flow load.Bulk, s report.Sample) error {
	if err := d.load.Call(ctx, time.Minute, "Begin", flow, new(struct{})); err != nil {
		return err
	}
	sleep(ctx, m.warm)
	before, after, err := m.around(ctx, d, name, func() error { sleep(ctx, m.window); return nil })
	if err != nil {
		return err
	}
	if err := d.end(ctx); err != nil {
		return err
	}
	bytes := after.toClient - before.toClient
	if flow.Up {
		bytes = after.toSink - before.toSink
	}
	took := after.at.Sub(before.at)
	s[name+"_mbit"] = float64(bytes) * 8 / took.Seconds() / 1e6
	gb := float64(bytes) / 1e9
	if gb == 0 {
		return nil // no data arrived, so there is no cost per GB
	}
	a, b := (after.a-before.a).Seconds()/gb, (after.b-before.b).Seconds()/gb
	if d.a != nil {
		s[name+"_cpu_a"], s[name+"_cpu_b"], s[name+"_cpu"] = a, b, a+b
	}
	if d.beside() != nil {
		s[name+"_cpu_s"] = (after.beside - before.beside).Seconds() / gb
	}
	s[name+"_cpu_all"] = after.machine.Since(before.machine).Busy.Seconds() / gb
	return nil
}

// end stops the bulk flow and waits for its last packets.
func (d *deployment) end(ctx context.Context) error {
	err := d.load.Call(ctx, time.Minute, "End", struct{}{}, new(struct{}))
	sleep(ctx, 100*time.Millisecond)
	return err
}

func (m *measurer) roundTrips(ctx context.Context, d *deployment, name string, s report.Sample) error {
	var l load.Latency
	if err := d.load.Call(ctx, m.window+time.Minute, "RoundTrips", m.window, &l); err != nil {
		return err
	}
	s[name+"_p50_us"], s[name+"_p99_us"] = us(l.P50), us(l.P99)
	return nil
}

// loaded measures round trips during a bulk download, and then reads peak memory. It comes
// after all bulk measures.
func (m *measurer) loaded(ctx context.Context, d *deployment, s report.Sample) error {
	if err := d.load.Call(ctx, time.Minute, "Begin", load.Bulk{Streams: 1}, new(struct{})); err != nil {
		return err
	}
	sleep(ctx, m.warm)
	before, after, err := m.around(ctx, d, mLoad, func() error { return m.roundTrips(ctx, d, "load", s) })
	if err != nil {
		return err
	}
	s["load_mbit"] = float64(after.toClient-before.toClient) * 8 / after.at.Sub(before.at).Seconds() / 1e6
	if err := d.end(ctx); err != nil {
		return err
	}
	a, b, err := d.memory()
	s["peak_mib_a"], s["peak_mib_b"] = mib(a.Peak), mib(b.Peak)
	s["after_mib_a"], s["after_mib_b"] = mib(a.Resident), mib(b.Resident)
	return err
}

// around reads the counters before and after work, and profiles work.
func (m *measurer) around(ctx context.Context, d *deployment, name string, work func() error) (before, after reading, err error) {
	if before, err = d.read(ctx); err != nil {
		return before, after, err
	}
	stop := m.profile(ctx, d, name)
	err = work()
	stop()
	if err != nil {
		return before, after, err
	}
	after, err = d.read(ctx)
	return before, after, err
}

func (m *measurer) connections(ctx context.Context, d *deployment, name string, workers int, s report.Sample) error {
	var r load.Rate
	before, after, err := m.around(ctx, d, name, func() error {
		return d.load.Call(ctx, m.window+2*time.Minute, "Connections", load.Burst{Workers: workers, Window: m.window}, &r)
	})
	if err != nil {
		return err
	}
	if r.Count == 0 {
		return fmt.Errorf("%s: no connection succeeded: %s", name, r.LastError)
	}
	s[name+"_rate"] = float64(r.Count) / r.Elapsed.Seconds()
	s[name+"_p50_us"], s[name+"_p99_us"] = us(r.P50), us(r.P99)
	s[name+"_errors"] = float64(r.Errors)
	if d.a != nil {
		s[name+"_cpu_ms"] = ms(after.a-before.a+after.b-before.b) / float64(r.Count)
	}
	return nil
}

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

func ms(d time.Duration) float64 { return d.Seconds() * 1e3 }
func us(d time.Duration) float64 { return d.Seconds() * 1e6 }
func mib(bytes float64) float64  { return bytes / (1 << 20) }
