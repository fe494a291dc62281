// Command link connects two network namespaces through a path with a delay, a loss and a
// rate, for kernels without netem.
//
//	namespace a                                              namespace b
//	┌─────────┐  read   ┌───────┐  due  ┌───────┐  write  ┌─────────┐
//	│ TUN dev │ ──────▶ │ admit │ ────▶ │ queue │ ──────▶ │ TUN dev │
//	└─────────┘         └───────┘       └───────┘         └─────────┘
//	            ◀────────  and the same the other way  ────────
//
// Packets cross one at a time and in order, as on a wire: the devices have no offloads, so
// the kernel segments super-packets first. A seeded random generator per direction decides
// about the loss of each packet.
//
// Unlike netem, link has no jitter, reordering or duplication, and it uses processor time
// of the measured machine. It creates the devices and prints "ready"; the program that
// started it then sets addresses and routes.
package main
