// Command link joins two network namespaces by a path with a delay, a loss and a
// rate, for kernels without netem.
//
//	namespace a                                              namespace b
//	┌─────────┐  read   ┌───────┐  due  ┌───────┐  write  ┌─────────┐
//	│ TUN dev │ ──────▶ │ admit │ ────▶ │ queue │ ──────▶ │ TUN dev │
//	└─────────┘         └───────┘       └───────┘         └─────────┘
//	            ◀────────  and the same the other way  ────────
//
// Packets cross one at a time, as on a wire: the devices have no offloads, so that
// the kernel cuts super-packets before they come here. Order is kept. Loss is
// drawn per packet from a seeded generator, each way its own.
//
// It is not netem: it has no jitter, no reordering and no duplication, and it
// uses processor time of the machine it measures. It makes the devices; addresses
// and routes are given by whoever started it, after it printed "ready".
package main
