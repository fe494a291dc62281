// Package control is the protocol between a service and its nodes and administrators,
// with a client for each: messages, errors, join URLs and registration keys, the proof
// that a node holds its private key, the watch stream, and the administrators' API.
//
//	node       ── Client ──HTTPS──▶ package service
//	            challenge  register  session  endpoints  relay-token
//	            device-login  device-login/token (RFC 8628)
//	            watch ◀── map · unchanged · live · keepalive · gone · replaced · bye
//	nexd admin ── Admin ───HTTPS──▶ package service
//	            organizations  nodes  prefixes  keys  members  invitations  tokens  audit
//
// Both sides use the same types, so that each reads what the other writes. The protocol
// is described in docs/protocol.md.
//
// The package does not decide who gets what (package ipam) nor who may do what
// (service/people). It stores nothing on disk and never retries by itself, with two
// exceptions: it opens an ended session again once, and it polls a device login until
// the login is decided. The node decides when to call again, with Backoff.
//
// It has more than 2,000 lines because both sides of every message stand here.
package control
