// Package ipam decides who gets which address and which prefix of an organization.
//
// It is a set of pure rules over a Ledger, a small interface that its user
// implements: a transaction of service/store is one, Memory is another. A Ledger belongs to one
// organization and excludes every other writer of it. So ipam needs no lock, and its
// decisions still hold when the transaction commits.
//
//	pool 100.64.0.0/10        .0.0 never | .0.1 .0.2 … one per node, rising | last never
//	pool fdxx:xxxx:xxxx::/48  ::0 never | ::1 ::2 … one per node, rising | last never
//
// No node gets the first or the last address of a pool. In IPv4 they look like the
// network and the broadcast address; in IPv6 the first is the subnet-router anycast
// address (RFC 4291). Addresses rise, so a released address comes back as late as
// possible, and never before it has rested.
//
// A prefix is held: allocated to a node and kept until it is released. ipam does not
// know whether the node advertises a held prefix at the moment. The held prefixes of
// an organization never overlap. Two organizations may hold the same prefix.
//
// ipam is not a database, knows no users, and has no clock: callers pass the time.
package ipam
