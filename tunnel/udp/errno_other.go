//go:build !windows

package udp

import "syscall"

// The errors with which the system refuses a socket.
const (
	errPortTaken  = syscall.EADDRINUSE
	errNoFamily   = syscall.EAFNOSUPPORT
	errNoAddr     = syscall.EADDRNOTAVAIL
	errNoProtocol = syscall.EPROTONOSUPPORT
)
