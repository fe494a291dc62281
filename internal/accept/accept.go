package accept

import (
	"errors"
	"slices"
	"syscall"
)

// Shortage reports whether the process or the system has run out of descriptors or
// memory. A server then pauses accepting and keeps its connections.
func Shortage(err error) bool { return isAny(err, shortages) }

// OfClient reports whether the error concerns only one client, which is gone.
func OfClient(err error) bool { return isAny(err, clientErrors) }

// shortages are the accept errors that end when somebody frees resources.
var shortages = []syscall.Errno{
	syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, wsaEMFILE, wsaENOBUFS,
}

// clientErrors are the accept errors of one client. Linux also reports pending errors of
// the network or a firewall.
var clientErrors = []syscall.Errno{
	syscall.ECONNABORTED, syscall.ECONNRESET, syscall.EPROTO, syscall.EPERM, syscall.ENETDOWN,
	syscall.EHOSTUNREACH, syscall.ENETUNREACH, wsaECONNRESET,
}

func isAny(err error, these []syscall.Errno) bool {
	return slices.ContainsFunc(these, func(e syscall.Errno) bool { return errors.Is(err, e) })
}

// The codes of Windows for some of them; no other system uses these numbers.
const (
	wsaEMFILE     syscall.Errno = 10024
	wsaECONNRESET syscall.Errno = 10054
	wsaENOBUFS    syscall.Errno = 10055
)
