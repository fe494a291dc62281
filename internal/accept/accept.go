package accept

import (
	"errors"
	"slices"
	"syscall"
)

// Shortage says whether the process or the system is out of descriptors or memory.
// Accepting has to pause then, and the connections that are there to stay.
func Shortage(err error) bool { return isAny(err, shortages) }

// OfClient says whether an error is that of a client which is gone already.
func OfClient(err error) bool { return isAny(err, clientErrors) }

// shortages are the accept errors that go away when others give something back.
var shortages = []syscall.Errno{
	syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, wsaEMFILE, wsaENOBUFS,
}

// clientErrors are the accept errors of one client. Linux passes on what the
// network, or a firewall, had to say about it.
var clientErrors = []syscall.Errno{
	syscall.ECONNABORTED, syscall.ECONNRESET, syscall.EPROTO, syscall.EPERM, syscall.ENETDOWN,
	syscall.EHOSTUNREACH, syscall.ENETUNREACH, wsaECONNRESET,
}

func isAny(err error, these []syscall.Errno) bool {
	return slices.ContainsFunc(these, func(e syscall.Errno) bool { return errors.Is(err, e) })
}

// The names Windows has for some of them; no other system uses the numbers.
const (
	wsaEMFILE     syscall.Errno = 10024
	wsaECONNRESET syscall.Errno = 10054
	wsaENOBUFS    syscall.Errno = 10055
)
