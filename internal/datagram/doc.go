// Package datagram holds what the UDP code of proxy, forward, forward/router and agent shares:
// a pool of datagram buffers, reading without holding a buffer while a socket is quiet, one
// interface for unconnected UDP sockets, and an idle timer.
//
//	socket readable ──▶ Pool.Get ──▶ Read ──▶ the caller forwards it ──▶ Pool.Put
//
// It does not know who sends what to whom: associations, flows and clients belong to the
// packages that use it.
package datagram
