package main

import (
	"log/slog"

	"nexd/internal/metrics"
	"nexd/internal/program"
)

// metricsFlags are the flags for an operator's Prometheus.
type metricsFlags struct {
	MetricsListen string `name:"metrics-listen" help:"Listening address for Prometheus metrics of relay, STUN and process: /metrics over plain HTTP, without authentication (default: none)." placeholder:"ADDR"`
}

func (f *metricsFlags) checkMetrics() error {
	if f.MetricsListen == "" {
		return nil
	}
	if err := metrics.CheckAddr(f.MetricsListen); err != nil {
		return program.Usagef("%s", err)
	}
	return nil
}

// metrics opens the listener. The server is nil without the flag.
func (f *metricsFlags) metrics(c *traversal, log *slog.Logger) (*metrics.Server, error) {
	if f.MetricsListen == "" {
		return nil, nil
	}
	return metrics.Listen(f.MetricsListen, c.families, log)
}

// families returns the counters that the relay and the STUN server keep.
func (c *traversal) families() (all []metrics.Family) {
	if c.relay != nil {
		st := c.relay.Stats()
		all = append(all,
			metrics.Gauge("nexd_relay_sessions", "Nodes connected to the relay.", float64(st.Nodes)),
			metrics.Gauge("nexd_relay_organizations", "Organizations with nodes connected to the relay.", float64(st.Organizations)),
			metrics.Gauge("nexd_relay_queued_bytes", "Memory of packets that wait for their receivers.", float64(st.Queued)),
			metrics.Counter("nexd_relay_admitted_total", "Connections admitted.", st.Admitted),
			metrics.CounterBy("nexd_relay_refused_total", "Connections refused, or ended for what they sent.", "reason", map[string]uint64{
				"token": st.DeniedToken, "proof": st.DeniedProof, "full": st.DeniedFull, "protocol": st.DeniedProtocol}),
			metrics.Counter("nexd_relay_replaced_total", "Connections replaced by a newer one of the same node.", st.Replaced),
			metrics.Counter("nexd_relay_cut_total", "Connections cut off: silent, stuck, without a token, or of a removed node.", st.Cut),
			metrics.Counter("nexd_relay_packets_total", "Packets forwarded.", st.Packets),
			metrics.Counter("nexd_relay_bytes_total", "Bytes of forwarded packets.", st.Bytes),
			metrics.Counter("nexd_relay_datagrams_total", "Valid datagrams received over UDP.", st.Datagrams),
			metrics.CounterBy("nexd_relay_dropped_total", "Packets and datagrams dropped.", "reason", map[string]uint64{
				"queue": st.Dropped, "budget": st.OverBudget, "receiver": st.Unknown, "not_sealed": st.NotSealed,
				"forged": st.Forged, "repeated": st.Repeated, "no_session": st.NoSession}))
	}
	st := c.stun.Stats()
	return append(all,
		metrics.Counter("nexd_stun_answered_total", "STUN requests answered.", st.Answered),
		metrics.CounterBy("nexd_stun_refused_total", "Packets at the STUN ports that got no answer.", "reason", map[string]uint64{
			"malformed": st.Malformed, "too_short": st.TooShort, "nowhere": st.Nowhere, "limited": st.Limited}))
}
