// Package agent is the process around a node: what makes package node the program nexd.
//
//	local commands ─▶ localapi ┐
//	applications ───▶ proxy ───┼─▶ node ─▶ mesh
//	host, mesh ─────▶ forward ─┘
//	SIGHUP ─────────▶ Change
//
// It opens the control socket, the proxy's listeners and the forwards, takes changes of the
// configuration in while it runs, gives memory back when idle, and drops capabilities. It knows the
// names of flags, which package node does not: hints.go adds them to errors.
package agent
