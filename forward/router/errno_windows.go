package router

import "syscall"

// errnoOutcome returns the outcome that a Winsock error stands for, if there is one.
func errnoOutcome(e syscall.Errno) (outcome, bool) {
	switch e {
	case 10061, 10054: // WSAECONNREFUSED, WSAECONNRESET
		return refused, true
	case 10065, 10064: // WSAEHOSTUNREACH, WSAEHOSTDOWN
		return noHost, true
	case 10051, 10050, 10047: // WSAENETUNREACH, WSAENETDOWN, WSAEAFNOSUPPORT
		return noNet, true
	case 10013: // WSAEACCES
		return prohibited, true
	case 10060: // WSAETIMEDOUT
		return timedOut, true
	case 10024, 10055, 10048, 10049: // WSAEMFILE, WSAENOBUFS, WSAEADDRINUSE, WSAEADDRNOTAVAIL
		return exhausted, true
	}
	return 0, false
}
