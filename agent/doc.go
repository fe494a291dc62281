// Package agent is a node: it wires the rooms of the data path together, joins
// an organization through the service (or reads a static map) and applies each
// network map.
//
//	control.Client ──map──▶ apply loop ──▶ filter ▶ underlay ▶ tunnel ▶ netstack ▶ router
//	                             ▲
//	state directory ──cached map─┘          proxy, forward ──Dial──▶ netstack
//
// It holds no protocol of its own and parses no packet. datapath.go is the one
// place that chooses between userspace and TUN mode; apply.go is the one place
// that changes the data path.
package agent
