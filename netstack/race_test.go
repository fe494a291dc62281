//go:build race

package netstack_test

// big is the size of a large transfer; the race detector makes it ten times slower.
const big = 4 << 20
