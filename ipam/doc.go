// Package ipam says who gets which address and which prefix of an organization.
//
// It is pure rules over a Ledger, the small interface its user implements:
// service/store's transaction is one, Memory another. A Ledger belongs to one
// organization and already excludes every other writer of it, so ipam needs no
// lock, and what it decides is true when the transaction commits.
//
//	pool 100.64.0.0/10     .0.0 never | .0.1 .0.2 … one per node, rising | last never
//	pool fdxx:xxxx:xxxx::/48  ::0 never | ::1 ::2 … one per node, rising | last never
//
// The first and the last address of a pool belong to nobody, in both families:
// in IPv4 they read as network and broadcast address, in IPv6 the first is the
// subnet-router anycast address (RFC 4291). Addresses rise, so that a released
// one comes back as late as possible, and never before it has rested.
//
// Prefixes are held: allocated to a node and kept until released. Whether a held
// prefix is advertised now is not ipam's business. Held prefixes of an
// organization are disjoint at all times; two organizations may hold the same.
//
// ipam is not a database, does not know users, and has no clock: the time is
// given to it.
package ipam
