// Package inbound asks for a verdict on each flow that peers open to an address that
// is not the node's own, which is how a rootless router reaches hosts behind it.
//
//	SYN, first datagram, echo request
//	              │
//	           Judge ──▶ Handler.TCP, UDP, Echo
//	              │         ├─ Accept        a connection or socket
//	     further packets    ├─ Refuse        RST or "port unreachable"
//	     of the same flow   ├─ Unreachable   ICMP error
//	                        └─ Drop          no answer
//
// Nothing is answered before the verdict, so that the handler can dial the
// destination first: what is refused, unreachable or silent there is so for the peer
// as well.
//
// Limits per peer are the handler's task. Which destinations may be reached at all is
// the task of tunnel/filter.
package inbound
