// Package datapath is everything that a node's packet goes through.
//
//	programs ─▶ end ─▶ filter ─▶ pace ─▶ tunnel ─▶ underlay ─▶ UDP, or the relay
//	             │
//	             ├── userspace: netstack and the rootless router
//	             └── TUN:       an interface of the kernel, routes and the gateway
//
// It is the only package that knows in which mode a node runs: mode.go chooses, end.go
// declares what both modes offer. It is a part of package node, which tells it by netmap.View
// who the peers are.
package datapath
