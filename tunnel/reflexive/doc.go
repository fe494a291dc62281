// Package reflexive finds a node's server-reflexive addresses: the addresses that the
// NATs in front of the node give to its UDP socket, as STUN servers see them.
//
//	             Requests                          Answer            Changed
//	start ──────────────────▶ asked, 4 tries ──────────────▶ known ─────────▶ owner
//	  ▲                         │ no answer                    │
//	  │                         ▼                              │
//	  └──── 5 s, 25 s, 5 min ── silent ◀──── 25 s, 5 min ──────┘
//
// A Client has no socket, no goroutine and no clock: its owner sends the requests from
// the socket in question, feeds the answers back and passes the time. Answers of
// several servers show what the NAT's mapping depends on.
//
// It is not a STUN codec (internal/stun), not a server (service/stun), and does not
// measure a NAT in detail (netcheck).
package reflexive
