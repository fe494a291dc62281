// Package router is the rootless subnet router: it carries flows that the mesh
// sends to this node's advertised prefixes on to the containers behind it, with
// ordinary sockets of the host.
//
//	mesh ── netstack ──┐  TCPFlow, UDPFlow, Echo: nothing answered yet
//	                   ▼
//	   advertisements: 10.201.0.10 → 172.17.0.10   outside, or never to be dialled → prohibited
//	                   ▼
//	   limits: per source peer, and per target within it                  at a cap → new one dropped
//	                   ▼
//	   health: did this target just fail to answer?                           yes → the same verdict at once
//	                   ▼
//	   host socket: connect, datagram or ping ──▶ container
//	                   ▼
//	   what the container said is what the client hears
//
// The target is dialled before the client is answered:
//
//	connected              Accept, then bytes both ways with half-close
//	refused                Refuse        RST, or port unreachable for UDP
//	no route, no neighbour Unreachable   host or network
//	not permitted          Unreachable   administratively prohibited
//	silence                Drop          silence
//
// It is not a firewall between nodes (tunnel/filter decides what reaches it), it
// is not a NAT of packets (only TCP, UDP and echo cross it) and it has no
// TCP/IP of its own: the flows are interfaces declared here and package netstack
// has them. It never dials outside what Set was given, never loopback or
// link-local addresses unless an Allow names them, and never multicast,
// broadcast or unspecified addresses. An address of the host itself inside an
// advertised prefix, a bridge's gateway for one, is a target like any other.
package router
