// Package udp moves datagrams in batches over an IPv4 and an IPv6 socket on one port.
//
//	SendFrom  [][]byte ──▶ runs of one size ──▶ sendmmsg, UDP_SEGMENT ──▶ network
//	Read      [][]byte ◀── slots of one segment ◀── recvmmsg, UDP_GRO ◀── network
//
// On Linux one system call moves a whole batch. The kernel splits runs of datagrams of
// one size when it sends them (generic segmentation offload, GSO) and joins them when
// it receives them (generic receive offload, GRO), straight from and into the caller's
// buffers. On other systems, and when the kernel or a sandbox refuses, each call moves
// one datagram.
//
// The package also sets firewall marks and sends single packets with a small time to
// live. It knows nothing about the contents of datagrams or about peers: package
// tunnel/underlay does. Package internal/udprun, which the relay uses, moves contiguous
// runs of one destination instead of WireGuard's separate buffers.
package udp
