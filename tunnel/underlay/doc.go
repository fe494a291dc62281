// Package underlay is WireGuard's conn.Bind: it knows which peer is behind which address.
//
//	WireGuard ──Send──▶ Bind ─┬─ route of the peer ──▶ tunnel/udp ══▶ UDP
//	                          │      ▲ paths.Peer  └─▶ Relay
//	WireGuard ◀──────── Bind ◀┴─ attribute ◀── tunnel/udp ◀══ UDP
//	                                 │      ◀── FromRelay
//	                                 ├─ probe ──▶ paths.Peer
//	                                 └─ STUN ───▶ reflexive.Client
//
// A stock bind knows addresses; this one knows peers. An endpoint is a peer at a source
// address, and every datagram is attributed to a peer before WireGuard sees it:
//
//	1 initiation    mac1 checked, then its static field opened: the key is the peer;
//	                then its timestamp: the sender has the key, and the message is new
//	2 response      receiver index -> peer   } the index was noted when this node sent
//	3 cookie reply  receiver index -> peer   } message 1 or 2 (bytes 4-8), so the
//	4 data          receiver index -> peer   } source may be any address
//
// A datagram that cannot be attributed is dropped and counted. Before WireGuard gets an
// authenticated initiation, the tunnel makes the peer in WireGuard (OnInitiation).
// Opening initiations has a budget, so that a flood costs little; probes need no peer in
// WireGuard. Forget puts a peer to rest that WireGuard no longer has.
//
// Attribution does not authenticate data: WireGuard does that, and only a source that it
// has accepted comes back in the endpoint that it passes to Send.
//
// Where packets go is decided by the peer's state machine, a paths.Peer. The Bind reports
// traffic, sources, probes and time to it and carries out its actions: probes of
// tunnel/disco and repeated initiations, through the same sockets as WireGuard's packets,
// since it is their NAT mapping that counts. STUN requests take them, too.
//
// It counts data packets in both directions (tunnel/arrived) and exchanges reports of them with
// the peer (reports.go); what the path carries then goes to OnLargest.
//
// A host may have several addresses. Packets leave from the one that the peer sent to, if the
// routes would select another (source.go).
//
// Received messages are told apart by their first bytes: WireGuard's messages begin with
// 1 to 4 and three zeros, and probes look like them; only other messages can be STUN or a
// call of the relay.
//
// It does not choose among paths (tunnel/paths), moves no datagrams itself (tunnel/udp),
// and has no connection to a relay: it passes packets to a Relay and takes those that
// come back.
//
// Size: attribution, the peers and their probes meet in each received datagram. Sockets, STUN,
// candidates and the choice of paths are rooms of their own.
package underlay
