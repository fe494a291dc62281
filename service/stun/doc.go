// Package stun answers STUN binding requests (RFC 8489) on UDP sockets, so that nodes learn their
// public address and port. Two sockets on different ports or addresses show a node whether its
// NAT's mapping depends on the destination.
//
//	request ──▶ total budget ─▶ budget of the source ─▶ parse ─▶ long enough? ──▶ answer
//	               └────────────────┴────────── dropped and counted ──┘
//
// A request may ask for an answer from another port or address (RFC 5780). It is answered from
// another socket of the server, which shows the node whose packets its NAT admits. These requests
// have the same budgets, and their answers are not longer either, so a forged source gains nothing.
//
// No answer is longer than its request, so the server cannot be used for amplification. A request
// that is shorter than its answer gets none; package internal/stun makes requests that are long
// enough. The server keeps no state of a request except the spent budget, in a table of fixed size.
//
// It is not a TURN server, answers no other STUN method and sends no errors.
package stun
