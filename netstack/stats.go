package netstack

// Stats are counters since New, unless a field says otherwise.
type Stats struct {
	RxPackets, RxBytes uint64 // received from peers
	TxPackets, TxBytes uint64 // sent to peers

	RxMalformed uint64 // packets from peers dropped because they are not IP
	RxChecksum  uint64 // packets from peers dropped because of a wrong checksum
	TxOversize  uint64 // packets to peers dropped because they exceed WireGuard's buffers
	QueuedBytes int    // bytes that wait for WireGuard now

	TCPOpen            uint64 // TCP connections open now
	TCPDialed          uint64 // connections that this node tried to open
	TCPDialsFailed     uint64 // of them, those that were refused, unreachable, timed out or canceled
	TCPAccepted        uint64 // connections accepted by listeners and inbound verdicts
	TCPRetransmits     uint64 // segments sent again
	TCPTimeouts        uint64 // expirations of retransmission timers
	TCPResetsSent      uint64 // connections reset by this node
	TCPResetsReceived  uint64 // connections reset by peers
	TCPInvalidSegments uint64 // segments that gVisor dropped as malformed
}

// Stats returns a copy of the counters.
func (n *Net) Stats() Stats {
	t, l := n.stack.Stats().TCP, n.link.Stats()
	return Stats{
		RxPackets: l.RxPackets, RxBytes: l.RxBytes,
		TxPackets: l.TxPackets, TxBytes: l.TxBytes,
		RxMalformed: l.RxMalformed, RxChecksum: l.RxChecksum, TxOversize: l.TxOversize,
		QueuedBytes: l.QueuedBytes,

		TCPOpen:            t.CurrentConnected.Value(),
		TCPDialed:          t.ActiveConnectionOpenings.Value(),
		TCPDialsFailed:     n.dialsFailed.Load(),
		TCPAccepted:        t.PassiveConnectionOpenings.Value() + n.inbound.Accepted(),
		TCPRetransmits:     t.Retransmits.Value(),
		TCPTimeouts:        t.Timeouts.Value(),
		TCPResetsSent:      t.ResetsSent.Value(),
		TCPResetsReceived:  t.ResetsReceived.Value(),
		TCPInvalidSegments: t.InvalidSegmentsReceived.Value() + t.ChecksumErrors.Value(),
	}
}
