// Package metrics serves counters and gauges to Prometheus, over plain HTTP at /metrics:
//
//	GET /metrics ──▶ Source: the current values ──▶ Prometheus text, with those of Go and the process
//
// It is the only package that knows Prometheus. The rooms keep plain counters, and the commands
// turn them into families. Names begin with nexd_, contain the unit and, for counters, end in
// _total. A label has a small, fixed set of values, so that the number of peers does not multiply
// the number of time series.
package metrics
