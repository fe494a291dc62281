// Package icmp encodes and parses the ICMP and ICMPv6 messages that a rootless
// node sends in its own name or in the name of a host behind it: echo messages and
// "destination unreachable" errors. It knows bytes only, no stack and no sockets.
package icmp
