package udp

import "golang.org/x/sys/windows"

// The errors with which the system refuses a socket. Windows returns other numbers
// than the constants of package syscall.
const (
	errPortTaken  = windows.WSAEADDRINUSE
	errNoFamily   = windows.WSAEAFNOSUPPORT
	errNoAddr     = windows.WSAEADDRNOTAVAIL
	errNoProtocol = windows.WSAEPROTONOSUPPORT
)
