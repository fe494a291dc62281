package metrics

import "github.com/prometheus/client_golang/prometheus"

// Family is one metric. It has a single value, or one for each value of a label.
type Family struct {
	name, help string
	kind       prometheus.ValueType
	label      string
	values     map[string]float64
}

// Gauge is a metric that goes up and down.
func Gauge(name, help string, value float64) Family {
	return Family{name: name, help: help, kind: prometheus.GaugeValue, values: map[string]float64{"": value}}
}

// GaugeBy is a Gauge with a value for each value of a label.
func GaugeBy(name, help, label string, values map[string]float64) Family {
	return Family{name: name, help: help, kind: prometheus.GaugeValue, label: label, values: values}
}

// Counter is a metric that only goes up, from 0 at the start of the process.
func Counter(name, help string, value uint64) Family {
	return Family{name: name, help: help, kind: prometheus.CounterValue, values: map[string]float64{"": float64(value)}}
}

// CounterBy is a Counter with a value for each value of a label.
func CounterBy(name, help, label string, values map[string]uint64) Family {
	f := Family{name: name, help: help, kind: prometheus.CounterValue, label: label, values: make(map[string]float64, len(values))}
	for of, n := range values {
		f.values[of] = float64(n)
	}
	return f
}

// Source returns the families with their current values. Each call returns the same names and
// labels.
type Source func() []Family

// collector makes a Source a prometheus.Collector.
type collector struct{ source Source }

// Describe implements prometheus.Collector. It describes nothing: a Source may leave out what does
// not exist yet.
func (c collector) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (c collector) Collect(to chan<- prometheus.Metric) {
	for _, f := range c.source() {
		var labels []string
		if f.label != "" {
			labels = []string{f.label}
		}
		desc := prometheus.NewDesc(f.name, f.help, labels, nil)
		for of, v := range f.values {
			if f.label == "" {
				to <- prometheus.MustNewConstMetric(desc, f.kind, v)
			} else {
				to <- prometheus.MustNewConstMetric(desc, f.kind, v, of)
			}
		}
	}
}
