// Package pace bounds how many packets are on their way through WireGuard. Its
// queues hold thousands, first in, first out, each packet in a buffer of 64 KiB:
// what stands there is delay that no fairness elsewhere can mend, and memory that
// grows to hundreds of MiB in one transfer.
//
//	device --Read--> pace --> WireGuard --> Send of the bind (Sent)
//	device <-Write-- pace <-- WireGuard <-- receive of the bind (Admit, Received)
//
// Reading from the device waits while too much has not reached the wire, and
// reading from the wire while too much has not reached the device. Packets that
// WireGuard drops, or keeps until a handshake is done, never arrive; therefore a
// wait ends after a few milliseconds and the count begins anew.
//
// It is not a queue and knows no flows, peers or bytes.
package pace
