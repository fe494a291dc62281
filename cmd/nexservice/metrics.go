package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"nexd/internal/program"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// metricsFlags are about what an operator's Prometheus reads.
type metricsFlags struct {
	MetricsListen string `name:"metrics-listen" help:"Listening address for Prometheus metrics of relay, STUN and process: /metrics over plain HTTP, without authentication (default: none)." placeholder:"ADDR"`
}

func (f *metricsFlags) checkMetrics() error {
	if f.MetricsListen == "" {
		return nil
	}
	if _, port, err := net.SplitHostPort(f.MetricsListen); err != nil || port == "" {
		return program.Usagef("--metrics-listen=%s is not of the form [HOST]:PORT", f.MetricsListen)
	}
	return nil
}

// metrics is the running part of metricsFlags; nil = off.
type metrics struct {
	ln  net.Listener
	srv *http.Server
}

// metrics opens the listener.
func (f *metricsFlags) metrics(c *carriers, log *slog.Logger) (*metrics, error) {
	if f.MetricsListen == "" {
		return nil, nil
	}
	ln, err := net.Listen("tcp", f.MetricsListen)
	if err != nil {
		return nil, fmt.Errorf("--metrics-listen: %w", listenError(f.MetricsListen, err))
	}
	reg := prometheus.NewRegistry()
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), carryCollector{c})
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(reg, promhttp.HandlerOpts{ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn)}))
	log.Info("metrics", "addr", ln.Addr())
	return &metrics{ln: ln, srv: &http.Server{
		Handler: mux, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}}, nil
}

func (m *metrics) close() {
	if m != nil {
		m.ln.Close()
	}
}

// run serves until ctx ends.
func (m *metrics) run(ctx context.Context) {
	if m == nil {
		return
	}
	defer context.AfterFunc(ctx, func() { m.srv.Close() })()
	m.srv.Serve(m.ln) // ends with the listener, which nobody but us closes
}

// carryCollector gives Prometheus the counters that relay and STUN keep anyway.
type carryCollector struct{ c *carriers }

// Describe implements prometheus.Collector.
func (k carryCollector) Describe(to chan<- *prometheus.Desc) { prometheus.DescribeByCollect(k, to) }

// Collect implements prometheus.Collector.
func (k carryCollector) Collect(to chan<- prometheus.Metric) {
	if k.c.relay != nil {
		st := k.c.relay.Stats()
		emit(to, prometheus.GaugeValue, "nexd_relay_sessions", "Nodes connected to the relay.", "", one(float64(st.Nodes)))
		emit(to, prometheus.GaugeValue, "nexd_relay_organizations", "Organizations that have nodes at the relay.", "", one(float64(st.Organizations)))
		emit(to, prometheus.GaugeValue, "nexd_relay_queued_bytes", "Memory that holds packets for nodes that have yet to read them.", "", one(float64(st.Queued)))
		emit(to, prometheus.CounterValue, "nexd_relay_admitted_total", "Connections let in.", "", counts(st.Admitted))
		emit(to, prometheus.CounterValue, "nexd_relay_refused_total", "Connections not let in, or ended for what they sent.", "reason", map[string]float64{
			"token": float64(st.DeniedToken), "proof": float64(st.DeniedProof), "full": float64(st.DeniedFull), "protocol": float64(st.DeniedProtocol)})
		emit(to, prometheus.CounterValue, "nexd_relay_replaced_total", "Connections that a newer one of the same node took the place of.", "", counts(st.Replaced))
		emit(to, prometheus.CounterValue, "nexd_relay_cut_total", "Connections cut off: silent, stuck, without a token, or of a removed node.", "", counts(st.Cut))
		emit(to, prometheus.CounterValue, "nexd_relay_packets_total", "Packets passed on.", "", counts(st.Packets))
		emit(to, prometheus.CounterValue, "nexd_relay_bytes_total", "Bytes of the packets passed on.", "", counts(st.Bytes))
		emit(to, prometheus.CounterValue, "nexd_relay_datagrams_total", "Good datagrams that came by UDP.", "", counts(st.Datagrams))
		emit(to, prometheus.CounterValue, "nexd_relay_dropped_total", "Packets and datagrams dropped.", "reason", map[string]float64{
			"queue": float64(st.Dropped), "budget": float64(st.OverBudget), "receiver": float64(st.Unknown), "not_sealed": float64(st.NotSealed),
			"forged": float64(st.Forged), "repeated": float64(st.Repeated), "no_session": float64(st.NoSession)})
	}
	st := k.c.stun.Stats()
	emit(to, prometheus.CounterValue, "nexd_stun_answered_total", "STUN requests answered.", "", counts(st.Answered))
	emit(to, prometheus.CounterValue, "nexd_stun_refused_total", "Packets at the STUN ports that got no answer.", "reason", map[string]float64{
		"malformed": float64(st.Malformed), "too_short": float64(st.TooShort), "nowhere": float64(st.Nowhere), "limited": float64(st.Limited)})
}

func one(v float64) map[string]float64   { return map[string]float64{"": v} }
func counts(n uint64) map[string]float64 { return one(float64(n)) }

// emit sends a metric, with one value for each of a label's if it has one.
func emit(to chan<- prometheus.Metric, kind prometheus.ValueType, name, help, label string, values map[string]float64) {
	var labels []string
	if label != "" {
		labels = []string{label}
	}
	desc := prometheus.NewDesc(name, help, labels, nil)
	for of, v := range values {
		if label == "" {
			to <- prometheus.MustNewConstMetric(desc, kind, v)
		} else {
			to <- prometheus.MustNewConstMetric(desc, kind, v, of)
		}
	}
}
