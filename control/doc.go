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
// Both sides use the same types. docs/protocol.md describes the protocol.
//
// The package does not decide about addresses and prefixes (package ipam) or about
// permissions (service/people). It stores nothing on disk. It never retries by itself, with
// two exceptions: it replaces a session that has ended, once per call, and it polls a device
// login until a person has decided. The node decides when to call again, with Backoff.
//
// Size: the package has more than 2,000 lines because both sides of every message are in it.
package control
