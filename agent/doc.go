// Package agent is a node: it wires the rooms of the data path together, joins
// an organization through the service (or reads a static map) and applies each
// network map.
//
//	control.Client ──map──▶ apply loop ──▶ filter ▶ router|gateway ▶ underlay ▶ tunnel ▶ netstack|interface
//	                             ▲
//	state directory ──cached map─┘          proxy, forward ──Dial──▶ netstack|kernel
//
// It holds no protocol of its own and parses no packet. datapath.go is the one
// place that chooses between userspace mode (userspace.go: netstack and router)
// and TUN mode (kernel.go: an interface, routes and the host's own sockets), and
// the one that changes the data path.
package agent
