// Package router is the rootless subnet router. It takes the flows that the mesh sends to this
// node's advertised prefixes and connects them, through ordinary sockets of the host, to the
// containers behind this node.
//
//	mesh ── netstack ──┐  TCPFlow, UDPFlow, Echo: not answered yet
//	                   ▼
//	   advertisements: 10.201.0.10 → 172.17.0.10    outside, or a forbidden target → prohibited
//	                   ▼
//	   sockets, shared between the peers            reached → the new flow is refused
//	                   ▼
//	   health: did this target fail just now?       yes → the same outcome without a dial
//	                   ▼
//	   incomplete flows per peer and target         reached → it waits for its turn, or is dropped
//	                   ▼
//	   host socket: connect, datagram or ping ──▶ container
//	                   ▼
//	   the client gets the container's answer
//
// The router dials the target before it answers the client:
//
//	connected              Accept, then bytes both ways with half-close
//	refused                Refuse        RST, or ICMP port unreachable for UDP
//	no route, no neighbour Unreachable   host or network
//	not permitted          Unreachable   administratively prohibited
//	timeout                Drop          no answer
//
// Package router is not a firewall between nodes: tunnel/filter decides which flows reach it. It
// is not a NAT of packets: only TCP, UDP and echo cross it. It has no TCP/IP stack of its own:
// package netstack implements the flow interfaces that are declared here.
//
// The router dials only inside the prefixes that Set was given. It never dials loopback or
// link-local addresses unless an Allow names them, and never multicast, broadcast or unspecified
// addresses. An address of the host itself inside an advertised prefix, such as the gateway
// address of a bridge, is a target like any other.
//
// Size: TCP, UDP and echo share the flows, the limits and the health of targets, so that a limit
// counts for all of them, and a withdrawn prefix ends all of them.
package router
