// Package candidates chooses the addresses at which other nodes may reach a node: those
// of the host's interfaces, without the ones that would lead into a tunnel or a container.
// ICE (RFC 8445) calls them host candidates. Package tunnel/reflexive finds the addresses
// that NATs give to the node.
//
// It does not test whether an address works: tunnel/paths does.
package candidates
