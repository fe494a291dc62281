// Package relayserver carries sealed packets between nodes of one organization that
// have no direct path: the relay's side of package relay.
//
//	GET /v1/relay ─▶ WebSocket ─▶ challenge ─▶ token + proof ─▶ room of the organization
//	                                                                │
//	   from A: looks sealed? ─▶ budget of node, of organization ─▶ is B here? ─▶ queue of B ─▶ B
//	                 └──────────────────┴───── dropped and counted ─┴─ oldest first
//
// A node is admitted by a token that the service signed for its organization and
// key, and by a proof, made over a key that is fresh for each connection, that it
// holds the private key; both are needed, so nobody can take another's place. With
// both, the newest connection wins. What a node sends carries the key it proved,
// whatever it says itself, and reaches only keys of its own organization.
//
// Memory is bounded by the number of connections: a queue drops its oldest data
// when it is full, and all queues together have a bound, too. A node that reads
// nothing for a while is cut off.
//
// The package keeps nothing on disk, knows no database, and sees of the packets
// nothing but their class and length.
package relayserver
