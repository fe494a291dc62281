// Package hostport resolves HOST:PORT, the form in which the service names its STUN
// servers and the relay's UDP port. It does not cache, and leaves the choice of a family
// or an address to its caller.
package hostport
