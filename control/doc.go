// Package control is the protocol between a node and its service, and the
// node's client for it: messages, errors, join URLs and registration keys, the
// proof that a node holds its private key, and the watch stream.
//
//	nexd agent ── Client ──HTTPS──▶ package service
//	            challenge  register  session
//	            prefixes   endpoints leave
//	            device-login  device-login/token (RFC 8628)
//	            watch ◀── map · unchanged · live · keepalive · gone · replaced · bye
//
// Both sides use the same types, so what one writes the other reads; the text of
// the protocol is docs/protocol.md.
//
// The package does not decide who gets what (package ipam), keeps nothing on disk
// and never retries by itself, except that an ended session is opened again once
// and that a device login is polled until it is decided: when to come back is the
// agent's matter, with Backoff.
package control
