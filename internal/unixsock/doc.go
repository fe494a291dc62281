// Package unixsock listens on Unix sockets that only this user may connect to.
//
//	path is free ────────────────▶ listen, 0600 from the first moment
//	a socket nobody answers on ──▶ replaced
//	a socket that is answered ───▶ Conflict
//	something else ──────────────▶ Conflict, left alone
package unixsock
