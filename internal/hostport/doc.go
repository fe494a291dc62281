// Package hostport reads how people and programs write the place of a server. It resolves
// HOST:PORT, the form in which the service names its STUN servers and the relay's UDP port,
// and recognises an address in each form in which it is passed as a host. It does not cache,
// and leaves the choice of a family or an address to its caller.
package hostport
