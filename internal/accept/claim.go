package accept

import (
	"errors"
	"syscall"
	"time"
)

// The time that Claim gives an address to become free, and the pause between its tries.
const (
	claimPatience = 250 * time.Millisecond
	claimPause    = 5 * time.Millisecond
)

// Claim opens a listener or a socket, and tries again for a moment while its address is in use.
//
// A child process holds copies of all descriptors from its fork to its exec. A socket that is
// closed at that moment, as when the router starts ping, keeps its address until the exec, and
// open fails although nothing uses the address any more.
func Claim[T any](open func() (T, error)) (T, error) {
	for deadline := time.Now().Add(claimPatience); ; time.Sleep(claimPause) {
		it, err := open()
		if !errors.Is(err, syscall.EADDRINUSE) || time.Now().After(deadline) {
			return it, err
		}
	}
}
