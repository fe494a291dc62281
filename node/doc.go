// Package node is a node of the mesh as a library: a program joins, listens on the mesh
// and dials into it, without a privilege and without any other process.
//
//	n, err := node.New(node.Config{ServiceURL: url, RegKey: key, Hostname: "web", Mode: node.Userspace})
//	if err != nil { … }
//	go n.Run(ctx)
//	<-n.Ready()
//	ln, err := n.Listen("tcp", ":80")                  // on this node's mesh addresses
//	conn, err := n.Dial("tcp", "172.24.0.10:5432")     // a container behind another node
//
// Membership and data path meet in the current netmap.View:
//
//	control.Client ─▶ member ─events─▶ follower ─▶ netmap.View ─▶ datapath
//	state, or a static map's file ────────▲            └──▶ Dial, Listen, WhoIs, Status
//
// A node opens one UDP port for WireGuard and connections to its service and relay. It opens
// no other socket before it is asked to, prints nothing, handles no signal, changes no
// setting of the process and knows no command line. Any number of nodes work in one process,
// each with its own Config. In TUN mode it changes routes and rules of the host while it runs.
//
// It is not a proxy and has no control socket: package agent is the program around a node
// that has them.
//
// Size: the methods of one type; data path and state are packages of their own below it.
package node
