// Package stun is the part of STUN (RFC 8489) that tells a node its public address:
// binding requests, their success responses, XOR-MAPPED-ADDRESS and optional
// FINGERPRINTs.
//
//	 0                   1                   2                   3
//	|0 0|   type     |     length      |      magic cookie 2112A442      |
//	|                     transaction, 12 bytes                          |
//	| attribute type | length | value, padded to 4 bytes | …
//
// AppendRequest makes a request that is longer than its response, because package
// service/stun never sends a response that is longer than the request. AppendProbe makes
// larger requests, and requests whose response comes from another port or address of the
// server (RFC 5780). Its arrival shows what the NAT's filter admits. MappingOf derives a
// NAT's mapping from the responses of several servers.
//
// Is distinguishes STUN from WireGuard, whose messages begin with 1 to 4 and three zero
// bytes and do not contain the cookie.
//
// The package does no I/O and no retransmission. It supports no credentials, error
// responses or indications; parsing them returns an error.
package stun
