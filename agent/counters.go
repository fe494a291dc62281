package agent

import (
	"nexd/agent/localapi"
	"nexd/internal/metrics"
	"nexd/mesh"
	"nexd/node"
)

// counters are the counters of the node and of the proxy, for status.
func (a *agent) counters() localapi.Counters {
	n := a.node.Counters()
	return localapi.Counters{
		Filter: localapi.FilterCounters{Passed: n.FilterPassed, Dropped: n.FilterDropped},
		Fit:    localapi.FitCounters(n.Fit),
		Paths:  localapi.PathCounters(n.Paths),
		Stack:  (*localapi.StackCounters)(n.Stack), Router: (*localapi.RouterCounters)(n.Router),
		Relay: (*localapi.RelayCounters)(n.Relay),
		Proxy: localapi.ProxyCounters(a.proxy.Stats()),
	}
}

// families is what Prometheus reads at --metrics-listen. docs/metrics.md lists all names.
func (a *agent) families() []metrics.Family {
	s, c := a.node.Status(), a.counters()
	s.Health = a.problems(s)
	all := append(stateFamilies(s), a.forwardFamilies()...)
	all = append(all, proxyFamilies(c.Proxy)...)
	all = append(all, metrics.CounterBy("nexd_filter_packets_total", "Packets from peers, by what the filter did.", "result",
		map[string]uint64{"passed": c.Filter.Passed, "dropped": c.Filter.Dropped}))
	all = append(all, metrics.CounterBy("nexd_fit_packets_total", "Packets on narrow paths, by what was done to make them fit.", "result",
		map[string]uint64{"clamped": c.Fit.Clamped, "fragmented": c.Fit.Fragmented, "dropped": c.Fit.Dropped, "told": c.Fit.Told}))
	all = append(all, metrics.CounterBy("nexd_path_events_total", "Reports of what arrived, and paths that did not carry data.", "event",
		map[string]uint64{"report_sent": c.Paths.ReportsSent, "report_received": c.Paths.ReportsReceived, "narrowed": c.Paths.Narrowed, "left": c.Paths.Left}))
	if c.Stack != nil {
		all = append(all, stackFamilies(c.Stack)...)
	}
	if c.Router != nil {
		all = append(all, routerFamilies(c.Router)...)
	}
	if c.Relay != nil {
		all = append(all, relayFamilies(c.Relay)...)
	}
	return all
}

// stateFamilies describe the node. Peers are counted by path, so that their number does not
// multiply the time series.
func stateFamilies(s node.Status) []metrics.Family {
	peers := map[string]float64{"direct": 0, "relay": 0, "none": 0, "idle": 0}
	for _, p := range s.Peers {
		peers[p.Path]++
	}
	d := s.Dropped
	all := []metrics.Family{
		metrics.Gauge("nexd_joined", "1 if the node is in its organization and has a network map.", flag(s.State == node.StateRunning)),
		metrics.Gauge("nexd_health_problems", "Problems that nexd status shows.", float64(len(s.Health))),
		metrics.GaugeBy("nexd_problems", "Problems that nexd status shows, by code.", "code", byCode(s.Health)),
		metrics.GaugeBy("nexd_peers", "Peers by the path to them.", "path", peers),
		metrics.CounterBy("nexd_received_dropped_total", "Packets at the WireGuard port that were dropped.", "reason", map[string]uint64{
			"malformed": d.Malformed, "handshake": d.Handshakes, "copy": d.Copies, "handshake_replayed": d.Replayed, "unknown_session": d.UnknownSessions,
			"probe_forged": d.ProbesForged, "probe_replayed": d.ProbesReplayed, "probe_limited": d.ProbesLimited, "relay_full": d.RelayFull}),
	}
	if s.Service.URL != "" {
		all = append(all, metrics.Gauge("nexd_service_connected", "1 if the node is connected to its service.", flag(s.Service.Connected)))
	}
	if s.Relay != nil {
		all = append(all, metrics.Gauge("nexd_relay_connected", "1 if the node is connected to its relay.", flag(s.Relay.Err == nil)))
	}
	return all
}

// byCode counts problems.
func byCode(all []mesh.Problem) map[string]float64 {
	out := map[string]float64{}
	for _, p := range all {
		out[p.Code]++
	}
	return out
}

func flag(on bool) float64 {
	if on {
		return 1
	}
	return 0
}

// forwardFamilies are sums over all rules. They are gauges only, since the counters of a rule end
// with the rule.
func (a *agent) forwardFamilies() []metrics.Family {
	active, listening := 0, map[string]float64{"true": 0, "false": 0}
	for _, f := range a.forwards.Status() {
		active += f.Active
		if len(f.Listening) > 0 {
			listening["true"]++
		} else {
			listening["false"]++
		}
	}
	return []metrics.Family{
		metrics.GaugeBy("nexd_forwards", "Forward rules, by whether they listen.", "listening", listening),
		metrics.Gauge("nexd_forward_clients", "TCP connections and UDP clients of all forwards.", float64(active)),
	}
}

func proxyFamilies(p localapi.ProxyCounters) []metrics.Family {
	return []metrics.Family{
		metrics.Gauge("nexd_proxy_clients", "Proxy clients connected.", float64(p.Active)),
		metrics.Gauge("nexd_proxy_handshakes", "Proxy clients that have not sent their request yet.", float64(p.Handshakes)),
		metrics.Gauge("nexd_proxy_associations", "UDP associations.", float64(p.Associations)),
		metrics.Counter("nexd_proxy_accepted_total", "Proxy clients served.", uint64(p.Accepted)),
		metrics.Counter("nexd_proxy_refused_total", "Proxy clients and associations turned away at a limit.", uint64(p.Refused)),
		metrics.Counter("nexd_proxy_dials_failed_total", "Targets of the proxy that could not be reached.", uint64(p.Failed)),
		metrics.CounterBy("nexd_proxy_bytes_total", "Bytes that the proxy moved.", "direction", map[string]uint64{"to_target": uint64(p.Sent), "to_client": uint64(p.Received)}),
		metrics.Counter("nexd_proxy_datagrams_dropped_total", "Datagrams of associations that could not be delivered.", uint64(p.Dropped)),
	}
}

func stackFamilies(s *localapi.StackCounters) []metrics.Family {
	return []metrics.Family{
		metrics.CounterBy("nexd_stack_packets_total", "Packets of the TCP/IP stack.", "direction", map[string]uint64{"received": s.RxPackets, "sent": s.TxPackets}),
		metrics.CounterBy("nexd_stack_bytes_total", "Bytes of the packets of the TCP/IP stack.", "direction", map[string]uint64{"received": s.RxBytes, "sent": s.TxBytes}),
		metrics.CounterBy("nexd_stack_dropped_total", "Packets and segments that the TCP/IP stack dropped.", "reason", map[string]uint64{
			"malformed": s.RxMalformed, "checksum": s.RxChecksum, "oversize": s.TxOversize, "invalid_segment": s.TCPInvalidSegments}),
		metrics.Gauge("nexd_stack_queued_bytes", "Bytes that wait for WireGuard.", float64(s.QueuedBytes)),
		metrics.Gauge("nexd_stack_tcp_connections", "Open TCP connections.", float64(s.TCPOpen)),
		metrics.CounterBy("nexd_stack_tcp_opened_total", "TCP connections by the side that opened them; dialed ones include failures.", "by", map[string]uint64{
			"dialed": s.TCPDialed, "accepted": s.TCPAccepted}),
		metrics.Counter("nexd_stack_tcp_dials_failed_total", "Dialed TCP connections that were reset, unreachable or timed out.", s.TCPDialsFailed),
		metrics.Counter("nexd_stack_tcp_retransmits_total", "TCP segments sent again.", s.TCPRetransmits),
		metrics.Counter("nexd_stack_tcp_timeouts_total", "Expirations of TCP retransmission timers.", s.TCPTimeouts),
		metrics.CounterBy("nexd_stack_tcp_resets_total", "TCP resets.", "direction", map[string]uint64{"received": s.TCPResetsReceived, "sent": s.TCPResetsSent}),
	}
}

// relayFamilies have names of their own: the service's nexd_relay_ metrics count all of its nodes.
func relayFamilies(r *localapi.RelayCounters) []metrics.Family {
	return []metrics.Family{
		metrics.CounterBy("nexd_relayed_packets_total", "Packets through the relay.", "direction", map[string]uint64{"sent": r.Sent, "received": r.Received}),
		metrics.CounterBy("nexd_relayed_dropped_total", "Packets for or from the relay that were dropped.", "reason", map[string]uint64{"queue": r.Dropped, "invalid": r.Refused}),
		metrics.Counter("nexd_relayed_datagrams_total", "Datagrams received from the relay over UDP.", r.Datagrams),
		metrics.Counter("nexd_relayed_connects_total", "Connections made to the relay.", r.Connects),
	}
}

func routerFamilies(r *localapi.RouterCounters) []metrics.Family {
	return []metrics.Family{
		metrics.GaugeBy("nexd_router_flows", "Flows to this node's prefixes.", "protocol", map[string]float64{"tcp": float64(r.TCP), "udp": float64(r.UDP)}),
		metrics.Gauge("nexd_router_dialing", "TCP attempts whose target has not answered yet.", float64(r.Dialing)),
		metrics.CounterBy("nexd_router_dials_total", "Flows to this node's prefixes, by how they began.", "result", map[string]uint64{
			"connected": r.Connected, "refused": r.Refused, "unreachable": r.Unreachable, "timed_out": r.TimedOut, "abandoned": r.Abandoned,
			"exhausted": r.Exhausted, "limited": r.Limited, "prohibited": r.Prohibited, "remembered": r.Remembered}),
		metrics.CounterBy("nexd_router_ended_total", "Flows that were ended early.", "reason", map[string]uint64{
			"withdrawn": r.Withdrawn, "port_unreachable": r.PortUnreachable}),
		metrics.CounterBy("nexd_router_echo_total", "Echo requests to this node's prefixes.", "result", map[string]uint64{"replied": r.EchoReplied, "failed": r.EchoFailed}),
		metrics.Counter("nexd_router_echo_shared_total", "Echo requests that shared the ping of another.", r.EchoShared),
		metrics.CounterBy("nexd_router_bytes_total", "Bytes of ended TCP connections and of UDP flows.", "direction", map[string]uint64{
			"to_target": r.ToTarget, "to_client": r.ToClient}),
	}
}
