// Package pace bounds the number of packets inside WireGuard. WireGuard's queues hold
// thousands of packets, first in, first out, each in a buffer of 64 KiB. Packets in them
// add delay that fair queueing elsewhere cannot repair, and memory that grows to hundreds
// of MiB in one transfer.
//
//	device --Read--> pace --> WireGuard --> Send of the bind (Sent)
//	device <-Write-- pace <-- WireGuard <-- receive of the bind (Admit, Received)
//
// A read from the device waits while too many packets have not reached the wire, and a read
// from the wire waits while too many have not reached the device. Packets that WireGuard
// drops, or holds until a handshake is done, never arrive; therefore a wait ends after a
// few milliseconds, and the count starts again.
//
// It is not a queue and knows no flows, peers or bytes.
package pace
