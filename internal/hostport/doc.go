// Package hostport finds the addresses behind HOST:PORT, as the service names its
// STUN servers and the relay's UDP port. It caches nothing and chooses none: which
// family or address serves is its user's affair.
package hostport
