// Package unixsock listens on Unix sockets that only this user may connect to.
//
//	path is free ────────────────▶ listen, 0600 from the first moment
//	a socket without a listener ─▶ replaced
//	a socket with a listener ────▶ Conflict
//	something else ──────────────▶ Conflict, unchanged
package unixsock
