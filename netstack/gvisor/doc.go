// Package gvisor translates between gVisor's types and those of the standard
// library: addresses, errors and packets. It holds no state, and it is the part
// of netstack that all other parts may import.
package gvisor
