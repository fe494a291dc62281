package localapi

// Counters count the packets, connections and flows of a node since it started. Some fields are
// gauges, as their comments say.
type Counters struct {
	Filter FilterCounters  `json:"filter"`
	Fit    FitCounters     `json:"fit"`
	Paths  PathCounters    `json:"paths"`
	Stack  *StackCounters  `json:"stack,omitempty"`  // not in TUN mode
	Router *RouterCounters `json:"router,omitempty"` // not in TUN mode
	Relay  *RelayCounters  `json:"relay,omitempty"`  // not with a static map
	Proxy  ProxyCounters   `json:"proxy"`
}

// RelayCounters are those of the connection to the relay.
type RelayCounters struct {
	Sent      uint64 `json:"sent"`      // packets
	Received  uint64 `json:"received"`  // packets
	Dropped   uint64 `json:"dropped"`   // packets: the queue was full, or there was no connection
	Refused   uint64 `json:"refused"`   // received frames that were not sealed packets, or not of this protocol
	Connects  uint64 `json:"connects"`  // connections made
	Datagrams uint64 `json:"datagrams"` // received over UDP
}

// FilterCounters count the packets from peers.
type FilterCounters struct {
	Passed  uint64 `json:"passed"`
	Dropped uint64 `json:"dropped"` // to addresses that this node does not offer
}

// PathCounters count what the data on paths to peers led to.
type PathCounters struct {
	ReportsSent     uint64 `json:"reports_sent"` // to peers, of what arrived
	ReportsReceived uint64 `json:"reports_received"`
	Narrowed        uint64 `json:"narrowed"` // paths limited to smaller packets, or to single ones
	Left            uint64 `json:"left"`     // addresses that swallowed data, left for another way
}

// FitCounters count packets to and from peers whose path carries less than the MTU.
type FitCounters struct {
	Clamped    uint64 `json:"clamped"`    // SYNs with a lowered MSS
	Fragmented uint64 `json:"fragmented"` // sent in fragments
	Dropped    uint64 `json:"dropped"`    // too large, and not to be fragmented
	Told       uint64 `json:"told"`       // ICMP errors to the senders of dropped ones
}

// StackCounters are those of TCP/IP in this process.
type StackCounters struct {
	RxPackets uint64 `json:"rx_packets"` // from peers
	RxBytes   uint64 `json:"rx_bytes"`
	TxPackets uint64 `json:"tx_packets"` // to peers
	TxBytes   uint64 `json:"tx_bytes"`

	RxMalformed uint64 `json:"rx_malformed"` // dropped: not IP
	RxChecksum  uint64 `json:"rx_checksum"`  // dropped: wrong checksum
	TxOversize  uint64 `json:"tx_oversize"`  // dropped: larger than WireGuard's buffers
	QueuedBytes int    `json:"queued_bytes"` // gauge: bytes that wait for WireGuard

	TCPOpen            uint64 `json:"tcp_open"`         // gauge: open connections
	TCPDialed          uint64 `json:"tcp_dialed"`       // connections that this node tried to open
	TCPDialsFailed     uint64 `json:"tcp_dials_failed"` // of them, reset, unreachable or timed out
	TCPAccepted        uint64 `json:"tcp_accepted"`     // connections that this node accepted
	TCPRetransmits     uint64 `json:"tcp_retransmits"`  // segments sent again
	TCPTimeouts        uint64 `json:"tcp_timeouts"`     // expirations of retransmission timers
	TCPResetsSent      uint64 `json:"tcp_resets_sent"`
	TCPResetsReceived  uint64 `json:"tcp_resets_received"`
	TCPInvalidSegments uint64 `json:"tcp_invalid_segments"` // dropped: malformed
}

// RouterCounters are those of the flows to this node's prefixes.
type RouterCounters struct {
	TCP     int `json:"tcp"`     // gauge: connections, including attempts
	UDP     int `json:"udp"`     // gauge: UDP flows
	Dialing int `json:"dialing"` // gauge: attempts whose target has not answered yet

	Connected   uint64 `json:"connected"`   // targets that accepted the flow
	Refused     uint64 `json:"refused"`     // targets that refused the connection
	Unreachable uint64 `json:"unreachable"` // no neighbour, no route, or a firewall
	TimedOut    uint64 `json:"timed_out"`   // targets that did not answer in time
	Abandoned   uint64 `json:"abandoned"`   // clients that left before the target answered
	Exhausted   uint64 `json:"exhausted"`   // this host had no descriptor or port left
	Limited     uint64 `json:"limited"`     // the peer had reached a limit
	Prohibited  uint64 `json:"prohibited"`  // outside the advertisements, or a forbidden target
	Withdrawn   uint64 `json:"withdrawn"`   // ended because their prefix was withdrawn
	Remembered  uint64 `json:"remembered"`  // not dialled: the target had failed shortly before

	PortUnreachable uint64 `json:"port_unreachable"` // UDP flows whose target reported it later
	EchoReplied     uint64 `json:"echo_replied"`     // echo requests that the target answered
	EchoFailed      uint64 `json:"echo_failed"`      // echo requests without a reply
	EchoShared      uint64 `json:"echo_shared"`      // echo requests that shared the ping of another

	ToTarget uint64 `json:"to_target_bytes"` // of ended TCP connections and all UDP flows
	ToClient uint64 `json:"to_client_bytes"` // likewise
}

// ProxyCounters are those of the SOCKS and HTTP proxy, over all its listeners.
type ProxyCounters struct {
	Active   int64 `json:"active"`         // gauge: clients connected
	Accepted int64 `json:"accepted"`       // clients served, including the active ones
	Refused  int64 `json:"refused"`        // clients and associations turned away at a limit
	Failed   int64 `json:"failed"`         // targets that could not be reached
	Sent     int64 `json:"sent_bytes"`     // to targets
	Received int64 `json:"received_bytes"` // from targets

	Handshakes   int64 `json:"handshakes"`   // gauge: clients that have not sent their request yet
	Associations int64 `json:"associations"` // gauge: UDP associations
	Dropped      int64 `json:"dropped"`      // datagrams of associations that could not be delivered
}
