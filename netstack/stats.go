package netstack

// Stats are counters since New, and the state of the queue towards WireGuard.
type Stats struct {
	RxPackets, RxBytes uint64 // from peers
	TxPackets, TxBytes uint64 // to peers
	RxMalformed        uint64 // dropped: not an IP packet
	RxChecksum         uint64 // dropped: wrong checksum
	TxDropped          uint64 // dropped: larger than the reader's buffers
	Queued             int    // packets waiting for Device.Read
	QueuedBytes        int

	Connections     uint64 // TCP connections open now
	Opened          uint64 // dialed
	Accepted        uint64 // by listeners and verdicts
	Refused         uint64 // dials that ended in a reset or another failure
	Retransmits     uint64 // TCP segments
	Timeouts        uint64 // of the retransmission timer
	ResetsSent      uint64
	ResetsReceived  uint64
	SegmentsInvalid uint64 // TCP segments dropped as malformed or out of place
}

// Stats returns a copy of the counters.
func (n *Net) Stats() Stats {
	t, l := n.stack.Stats().TCP, n.link.Stats()
	return Stats{
		RxPackets: l.RxPackets, RxBytes: l.RxBytes,
		TxPackets: l.TxPackets, TxBytes: l.TxBytes,
		RxMalformed: l.RxMalformed, RxChecksum: l.RxChecksum, TxDropped: l.TxOversize,
		Queued: l.Queued, QueuedBytes: l.QueuedBytes,
		Connections: t.CurrentConnected.Value(),
		Opened:      t.ActiveConnectionOpenings.Value(), Accepted: t.PassiveConnectionOpenings.Value() + n.inbound.Accepted(),
		Refused: t.FailedConnectionAttempts.Value(), Retransmits: t.Retransmits.Value(), Timeouts: t.Timeouts.Value(),
		ResetsSent: t.ResetsSent.Value(), ResetsReceived: t.ResetsReceived.Value(),
		SegmentsInvalid: t.InvalidSegmentsReceived.Value() + t.ChecksumErrors.Value(),
	}
}
