// Package underlay carries WireGuard's packets over UDP: it is the conn.Bind of
// the tunnel. The sockets are those of tunnel/udp.
//
// A stock bind knows addresses; this one knows peers. An endpoint is a pair of
// peer and source address, and every datagram is attributed to a peer before
// WireGuard sees it:
//
//	1 initiation    mac1 checked, then its static field opened: the key is the peer;
//	                then its timestamp: the sender has the key, and the message is new
//	2 response      receiver index -> peer   } the index was noted when we sent
//	3 cookie reply  receiver index -> peer   } message 1 or 2 (bytes 4-8), so the
//	4 data          receiver index -> peer   } source may be any address
//
// What cannot be attributed is dropped and counted. An initiation so opened knocks:
// whoever set OnKnock makes the peer in WireGuard, if it has none, before the message
// is handed on. Opening has a budget, so that a flood costs little; disco needs no
// peer in WireGuard. When WireGuard has a peer no longer, Forget gives back what was
// known of its sessions and paths.
//
// Attribution is not authentication of what follows: WireGuard does that, and only a source it has accepted comes
// back in the endpoint it hands to Send. That source is the peer's path:
//
//	          initiation goes to            data goes to
//	no path   every candidate (<= 16)       -
//	path      the path                      the path
//	stale     the path and every candidate  the path
//
// That is all while Run does not run. With it, tunnel/paths decides for every peer
// that has traffic, by probes of tunnel/disco that travel through the same
// sockets, and a relay may take part:
//
//	             initiation goes to                     data goes to
//	in search    the path, every candidate, the relay   path and relay, or what there is
//	proved       the path                               the path
//
// What could come too early for the peer's NAT, as tunnel/paths says, is kept back: an
// initiation goes there with the first probe that may get there.
//
// What comes in is told apart by its first bytes: WireGuard's messages begin with
// 1 to 4 and three zeros; only what does not is looked at as disco or STUN. STUN
// servers are asked from these sockets too, since it is their mapping that counts.
//
// A path is stale when nothing came from it lately, or an initiation sent since
// the last sign of life is still unanswered. The first source to answer is the
// path from then on; no handshake is needed to move, WireGuard's roaming does
// it. Candidates are where a peer may be reached, as the network map says; a
// path need not be one of them (NAT, roaming).
//
// It does not choose among paths: that is tunnel/paths. It is no relay and has no
// connection to one: it hands packets to a Relay and is given what comes back.
package underlay
