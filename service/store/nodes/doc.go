// Package nodes is the part of the store about organizations and their nodes:
// registration keys, device logins, registration, names, addresses, prefixes,
// endpoints, sessions, and the snapshot from which the service makes network maps.
//
//	Registration ─▶ homeOf: which organization? ─▶ Update ─▶ admit: use the key or approval
//	                                                        ─▶ name, addresses (ipam), prefixes (ipam), endpoints
//	Snapshot ◀── one read transaction
//
// Tx is a transaction that holds one organization. It implements ipam.Ledger, so the
// rules of package ipam run inside of it.
package nodes
