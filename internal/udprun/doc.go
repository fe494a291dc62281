// Package udprun sends and receives runs of UDP datagrams. A run is several consecutive
// datagrams of one size between two addresses; the last one may be shorter.
//
//	| segment | segment | segment | rest |   one system call if the system can, otherwise one each
//
// On Linux, UDP_SEGMENT segments a run and UDP_GRO coalesces one. If the kernel, the
// interface or the path refuses a run, its datagrams are sent one by one.
//
// The package does not look at the contents. tunnel/udp has its own code, which scatters
// datagrams straight into WireGuard's buffers.
package udprun
