// Package relayserver forwards sealed packets between nodes of an organization that have no direct
// path. It is the relay's side of package relay.
//
//	GET /v1/relay ─▶ WebSocket ─▶ challenge ─▶ token + proof ─▶ room of the organization
//	                                                                │
//	   from A: looks sealed? ─▶ budget of node, of organization ─▶ is B connected? ─▶ queue of B ─▶ B
//	                 └──────────────────┴───── dropped and counted ─┴─ oldest first
//
// A node needs two things to be admitted: a token that the service signed for its organization and
// key, and a proof that it holds the private key. The proof covers a key that is new for each
// connection. So no node can take the place of another; of two connections of one node, the newest
// wins. The relay marks packets with the key that the sender proved, and forwards them only to keys
// of the same organization.
//
// The number of connections bounds the memory. A full queue drops its oldest data, and all queues
// together have a bound. A node that does not read for a while is disconnected.
//
// The package stores nothing on disk and knows no database. Of the packets it sees only class and
// length.
package relayserver
