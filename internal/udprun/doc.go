// Package udprun moves runs of UDP datagrams: datagrams of one size between the
// same two places, of which the last may be shorter, lying one behind the other.
//
//	| segment | segment | segment | rest |   one system call where the system can, one each elsewhere
//
// On Linux a run is cut by UDP_SEGMENT when it is sent and joined by UDP_GRO when it
// is received. Where the kernel, the interface or the path refuses a run, its
// datagrams go one by one.
//
// It knows nothing of what is in them. tunnel/udp has its own way, which scatters
// straight into WireGuard's buffers.
package udprun
