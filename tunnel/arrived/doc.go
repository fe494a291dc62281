// Package arrived counts the data packets that this node sends to a peer and receives from it,
// by way and size, without a lock.
//
//	send     ──▶ Sent      ┐  tunnel/paths compares them with the peer's report
//	receive  ──▶ Received  ┘  goes into this node's reports
//
// The counters only grow, and wrap. It judges nothing (tunnel/paths) and sends nothing
// (tunnel/disco, tunnel/underlay).
package arrived
