// Package pktinfo lets a UDP socket that listens on every address of the host answer from the
// address that was asked.
//
//	asked at 192.0.2.20 ──▶ socket at 0.0.0.0 ──▶ at = 192.0.2.20
//	                        socket at 0.0.0.0 ◀── SendFrom(…, at)    not from the address that the routes prefer
//
// NATs and stateful firewalls drop an answer from any other address than the one that was asked. On
// Linux the kernel reports the destination of each datagram and takes the source of each answer in
// control messages (IP_PKTINFO, IPV6_PKTINFO). The source selects the route where rules do so (ip
// rule from ADDRESS); the interface is never chosen here. On other systems answers leave from the
// address that the host's routes prefer.
//
// Conn is for sockets that move one datagram at a time. Sockets with system calls of their own use
// Enable, Parse and Message (tunnel/udp, internal/udprun).
package pktinfo
