// Package paths decides, for one peer, which way packets go: to a direct UDP address
// that has proved itself, through the relay, or for a moment both.
//
// It has no socket, no goroutine and no clock. Its owner, tunnel/underlay, reports what
// happened and when, and carries out the actions that come back.
//
//	            no recent pong            a pong to our ping
//	relay  <───────────────────  both  ──────────────────▶  direct
//	  │                            ▲  ◀──────────────────     │
//	  │                            │    3 pings unanswered    │
//	  └────────────────────────────┴──────────▶───────────────┘
//	                                     a pong to our ping
//
// Only the answer to a probe of our own selects a direct address; a probe or a data
// packet of the peer does not. A probe of the peer adds its source to the candidates.
// While the best address is silent, any other address that answers replaces it. A stock
// WireGuard answers no probes; the last source that WireGuard authenticated stays the
// path to such a peer.
//
// Among addresses that answer, the shorter round trip wins, if it is shorter by enough. Where
// round trips are alike, the order is loopback, link-local, private, IPv6, IPv4.
//
// While traffic flows, the path is probed every 2 s, and faster when something seems
// wrong. Then the peer also gets a call through the relay: only packets that the peer
// sends open its NAT again, and it may have nothing to send. Without a path all
// candidates are probed in rounds, and a call asks the peer to do the same, which opens
// the NATs of both sides. After a pause the call comes first, and the first probes only
// open our own NATs (see punch.go): some boxes spoil a path when a packet arrives before
// they were opened. Without traffic, nothing is sent.
//
// A path that answers probes may still swallow data: large packets, runs of packets, one
// direction, or all of it. The peer reports what arrives (data.go), and probes in the size
// and form of data measure the path (measure.go). A path is limited to what passes, or left
// while nothing does, and tried again ever more rarely. A peer that sends no reports is
// judged by probes alone.
//
// WireGuard's handshake follows the same rules:
//
//	           initiation goes to                    data goes to
//	at rest    the source, every candidate, relay    -
//	search     the source, every candidate, relay    source and relay, or what there is
//	proved     the best address                      the best address
//
// A peer at rest is one without traffic since it was made or since Rest. It keeps its
// candidates and where it was last, and needs little memory.
//
// It is not a codec (tunnel/disco) and knows no keys.
package paths
