package netstack

import "sync/atomic"

// Stats are counters since New, and the state of the egress queue.
type Stats struct {
	RxPackets, RxBytes uint64 // from peers
	TxPackets, TxBytes uint64 // to peers
	RxMalformed        uint64 // dropped: no IP packet
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

type counters struct {
	rxPackets, rxBytes, rxMalformed, rxChecksum atomic.Uint64
	txPackets, txBytes, txDropped               atomic.Uint64
	accepted                                    atomic.Uint64 // by verdict
}

// Stats is a copy of the counters as they are now.
func (n *Net) Stats() Stats {
	t := n.stack.Stats().TCP
	s := Stats{
		RxPackets: n.stats.rxPackets.Load(), RxBytes: n.stats.rxBytes.Load(),
		TxPackets: n.stats.txPackets.Load(), TxBytes: n.stats.txBytes.Load(),
		RxMalformed: n.stats.rxMalformed.Load(), RxChecksum: n.stats.rxChecksum.Load(),
		TxDropped:   n.stats.txDropped.Load(),
		Connections: t.CurrentConnected.Value(),
		Opened:      t.ActiveConnectionOpenings.Value(), Accepted: t.PassiveConnectionOpenings.Value() + n.stats.accepted.Load(),
		Refused: t.FailedConnectionAttempts.Value(), Retransmits: t.Retransmits.Value(), Timeouts: t.Timeouts.Value(),
		ResetsSent: t.ResetsSent.Value(), ResetsReceived: t.ResetsReceived.Value(),
		SegmentsInvalid: t.InvalidSegmentsReceived.Value() + t.ChecksumErrors.Value(),
	}
	s.Queued, s.QueuedBytes = n.link.out.queued()
	return s
}
