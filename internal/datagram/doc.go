// Package datagram is what the rooms that carry UDP share: buffers that hold any
// datagram, lent from a pool, and waiting for a socket without holding one.
//
//	wait ──▶ readable ──▶ Get ──▶ Read ──▶ pass on ──▶ Put
//
// It knows nothing of who sends what to whom.
package datagram
