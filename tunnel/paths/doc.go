// Package paths decides, for one peer, which way packets go: a direct UDP address
// that has proved itself, the relay, or for a moment both.
//
// It has no socket, no goroutine and no clock. It is told what happened and when,
// and answers with what to do; tunnel/underlay does it.
//
//	            no pong lately            a pong of ours
//	relay  <───────────────────  both  ──────────────────▶  direct
//	  │                            ▲  ◀──────────────────     │
//	  │                            │    3 probes unanswered   │
//	  └────────────────────────────┴──────────▶───────────────┘
//	                                     a pong of ours
//
// Only the answer to a probe of our own selects a direct address: not a probe of
// the peer's, not a data packet. A probe of the peer's makes its source one more
// candidate. While the best is silent, any other that answers is better. Where a peer answers no probes at all, as a stock WireGuard does, the
// last source that WireGuard has authenticated stays the path.
//
// Among addresses that answer: loopback before link-local, private, IPv6 and IPv4;
// among equals the shorter round trip, if it is shorter by enough.
//
// While traffic flows a path is probed every 2 s, and faster when something seems
// wrong; the peer is told of that through the relay, because only what it sends opens
// its NAT again, and it may have nothing to send. Without a path all candidates are
// probed in rounds, and the peer is asked through the relay to do the same at that
// moment, which opens the NATs of both sides. After a pause it is asked first, and
// probes go only as far as to open our own NATs: some spoil what comes before they are
// opened. When no traffic flows, nothing is sent.
//
// It is not a codec (tunnel/disco), knows no keys, and does not decide how
// WireGuard's handshake travels.
package paths
