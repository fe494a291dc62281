// Package state keeps what makes a node the same node after a restart: its WireGuard
// key, its UDP port, its service, the last network map and the peers it had sessions
// with.
//
//	identity.json   key, port, service: written before the first word to the service
//	map.json        the last network map, for a start without the service
//	sessions.json   the peers that a restarted node calls first
//	lock            held while a node runs
//
// A state is a directory with mode 0700 whose files have mode 0600, or it exists in memory
// only and ends with the process. A file that cannot be understood is an error and never
// leads to a new identity: a node that silently changed its key would lose its addresses.
package state
