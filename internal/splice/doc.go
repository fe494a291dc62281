// Package splice connects two connections: it copies data in both directions until both
// sides have sent EOF.
//
//	      ┌── half a→b: read a, write b, at EOF b.CloseWrite ──▶
//	a ────┤                                                      ├──── b
//	      ◀── half b→a: read b, write a, at EOF a.CloseWrite ────┘
//
// Each side sees how the other one ended. An EOF becomes a half-close, and the other
// direction continues. A reset, a timeout, an idle limit or the end of ctx becomes a reset
// (SetLinger(0) if the connection has it), so nobody takes a truncated transfer for a
// complete one.
//
// An idle half holds no buffer. On Unix it waits until a host socket is readable and only
// then borrows memory. A connection that can move its own data (io.WriterTo,
// io.ReaderFrom), like netstack's, does so. On other systems a half waits with a small
// buffer.
//
// Package splice is not a proxy: it does not dial, set deadlines, inspect data or log.
package splice
