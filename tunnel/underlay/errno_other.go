//go:build !windows

package underlay

import "syscall"

// What the system says when a socket cannot be had.
const (
	errPortTaken  = syscall.EADDRINUSE
	errNoFamily   = syscall.EAFNOSUPPORT
	errNoAddr     = syscall.EADDRNOTAVAIL
	errNoProtocol = syscall.EPROTONOSUPPORT
)
