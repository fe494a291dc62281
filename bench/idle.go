//go:build linux

package main

import (
	"context"
	"time"

	"nexd/bench/report"
)

// heldMany is the number of idle connections of idle10k.
const heldMany = 10_000

// idleMany measures the memory of 10,000 idle connections through a fresh system.
func (m *measurer) idleMany(ctx context.Context, d *deployment, s report.Sample) error {
	if err := d.startClient(ctx); err != nil {
		return err
	}
	sleep(ctx, settle)
	beforeA, beforeB, err := d.memory()
	if err != nil {
		return err
	}
	var opened int
	began := time.Now()
	if err := d.load.Call(ctx, 2*time.Minute, "HoldMany", heldMany, &opened); err != nil {
		return err
	}
	s["idle10k_s"] = time.Since(began).Seconds()
	sleep(ctx, settle)
	afterA, afterB, err := d.memory()
	if err != nil {
		return err
	}
	s["idle10k_kib_a"] = (afterA.Resident - beforeA.Resident) / 1024 / float64(opened)
	s["idle10k_kib_b"] = (afterB.Resident - beforeB.Resident) / 1024 / float64(opened)
	return d.load.Call(ctx, time.Minute, "Release", struct{}{}, new(struct{}))
}
