package underlay

import "golang.org/x/sys/windows"

// What the system says when a socket cannot be had. Package syscall's names for
// these are not what Windows returns.
const (
	errPortTaken  = windows.WSAEADDRINUSE
	errNoFamily   = windows.WSAEAFNOSUPPORT
	errNoAddr     = windows.WSAEADDRNOTAVAIL
	errNoProtocol = windows.WSAEPROTONOSUPPORT
)
