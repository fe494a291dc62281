// Package mesh holds the words every room of nexd shares: keys, nodes,
// prefixes, the network map and the kinds of error.
//
// It does no I/O, starts no goroutine and imports nothing of this module, so it
// is the package to read first. What a word means on the wire is said in
// docs/protocol.md; what a node does with it is said by the room that uses it.
package mesh
