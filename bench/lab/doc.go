// Package lab builds the network that package bench measures in, and runs programs
// in it.
//
//	host A ═══════ veth, or bench/link ═══════ host B ────── veth ────── container C
//	   └──── veth ──── relay's host S (AddRelayHost) ──── veth ────┘
//
// New makes the namespaces; Spawn starts a program in one of them, as nobody and
// without capabilities unless it is Rooted; Close ends the programs and removes the
// namespaces; Sweep removes what a killed benchmark left. CPUOf, MemoryOf and
// ReadMachine read the counters of /proc. The package does not know the systems
// that bench compares. Linux only, as root.
package lab
