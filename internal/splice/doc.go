// Package splice joins two connections: what one side sends, the other gets,
// both ways, until both have said all they had to say.
//
//	      ┌── half a→b: read a, write b, at EOF b.CloseWrite ──▶
//	a ────┤                                                      ├──── b
//	      ◀── half b→a: read b, write a, at EOF a.CloseWrite ────┘
//
// How a splice ends is told to both sides as it happened. An EOF becomes a
// half-close and the other half goes on. A reset, a timeout, an idle limit or
// the end of ctx becomes a reset of what is left (SetLinger(0) where the
// connection has it), so that nobody takes a cut transfer for a complete one.
//
// A half that has nothing to move holds no buffer: on Unix it waits for a
// host socket to become readable and borrows memory only then, and a
// connection that moves its own data (io.WriterTo, io.ReaderFrom; netstack's
// connections do) is left to do so. Elsewhere it waits with a small buffer.
//
// Package splice is not a proxy: it dials nothing, sets no deadline, looks at no byte
// and logs nothing.
package splice
