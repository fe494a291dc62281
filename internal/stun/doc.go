// Package stun is the part of STUN (RFC 8489) that tells a node its outside
// address: binding requests, their success responses, XOR-MAPPED-ADDRESS, and
// FINGERPRINT where somebody sends it.
//
//	 0                   1                   2                   3
//	|0 0|   type     |     length      |      magic cookie 2112A442      |
//	|                     transaction, 12 bytes                          |
//	| attribute type | length | value, padded to 4 bytes | …
//
// AppendRequest makes a request that is longer than its answer, so that a server
// that never answers with more than it was sent (package service/stun) can answer.
// AppendProbe makes longer ones, and such that want their answer from another port
// or address of the server (RFC 5780): whether that arrives shows what a NAT lets
// in. MappingOf says what several servers' answers show of a NAT's mapping.
//
// Is tells STUN from WireGuard, whose messages begin with 1 to 4 and three zero
// bytes and which would have to guess the cookie.
//
// The package does no I/O, sends nothing again, knows no credentials, no error
// responses and no indications: whoever gets something else gets an error.
package stun
