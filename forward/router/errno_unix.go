//go:build unix

package router

import "syscall"

// errnoOutcome returns the outcome that an errno stands for, if there is one.
func errnoOutcome(e syscall.Errno) (outcome, bool) {
	switch e {
	case syscall.ECONNREFUSED, syscall.ECONNRESET:
		return refused, true
	case syscall.EHOSTUNREACH, syscall.EHOSTDOWN:
		return noHost, true
	case syscall.ENETUNREACH, syscall.ENETDOWN, syscall.EAFNOSUPPORT:
		return noNet, true
	case syscall.EACCES, syscall.EPERM:
		return prohibited, true
	case syscall.ETIMEDOUT:
		return timedOut, true
	case syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.EAGAIN, syscall.EADDRINUSE, syscall.EADDRNOTAVAIL:
		return exhausted, true
	}
	return 0, false
}
