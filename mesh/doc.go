// Package mesh holds the vocabulary of nexd. Read it first.
//
//	organization   a mesh of its own; nodes of two organizations never see each other
//	node           a computer that runs nexd; it has a name, a WireGuard key and
//	               addresses inside the mesh
//	prefix         a network of containers behind a node: the node holds it, and
//	               advertises it while its agent runs with --advertise-cidr
//	endpoint       an address and port where a node's WireGuard socket may be reached
//	network map    all nodes of an organization, as one of them sees it, with a version
//	kind           what the caller of a failed function can do about the error
//
// Package mesh does no I/O, starts no goroutine and imports the standard library
// only. docs/protocol.md describes how its types look on the wire.
package mesh
