//go:build !race

package netstack_test

// big is the size of a large transfer.
const big = 40 << 20
