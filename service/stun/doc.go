// Package stun answers binding requests (RFC 8489) on UDP sockets, so that nodes
// learn under which address and port the world sees them. Two sockets on different
// ports, or addresses, tell a node whether its NAT's mapping depends on where it
// sends to.
//
//	request ──▶ total budget ─▶ budget of the source ─▶ parse ─▶ long enough? ──▶ answer
//	               └────────────────┴────────── dropped and counted ──┘
//
// A request that wants its answer from another port or address (RFC 5780) gets it
// from another socket of the server's, which shows the node whom its NAT lets in;
// it goes through the same budgets and is no longer either, so a forged source
// gains nothing by it.
//
// No answer is longer than its request, so the server is of no use for
// amplification; a request that is too short for its answer gets none, and
// package internal/stun makes requests that are long enough. Nothing is kept of a
// request but the spent budget, in a table of fixed size.
//
// It is no TURN server, answers no other STUN method and sends no errors.
package stun
