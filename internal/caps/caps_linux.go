package caps

import (
	"errors"
	"fmt"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The capabilities that nexd uses.
const (
	NetAdmin       = unix.CAP_NET_ADMIN
	NetBindService = unix.CAP_NET_BIND_SERVICE
	NetRaw         = unix.CAP_NET_RAW
	DACOverride    = unix.CAP_DAC_OVERRIDE
)

// Keep permanently drops all capabilities of all threads except for the named ones. It
// adds none that the process does not hold. Programs that this process starts have none;
// with children, and if the user is root, they have the kept ones.
func Keep(children bool, keep ...int) error {
	var mask uint64
	for _, c := range keep {
		mask |= 1 << c
	}
	for c := 0; c <= lastCap(); c++ {
		if !children || mask&(1<<c) == 0 {
			// Without CAP_SETPCAP the bounding set stays, which does no harm.
			_ = everyThread(unix.SYS_PRCTL, unix.PR_CAPBSET_DROP, uintptr(c), 0)
		}
	}
	if err := everyThread(unix.SYS_PRCTL, unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0); err != nil && !errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("caps: clear the ambient set: %w", err)
	}
	// Pinned, because everyThread takes addresses as numbers and a stack may move.
	hdr, data := &unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, new([2]unix.CapUserData)
	var pin runtime.Pinner
	defer pin.Unpin()
	pin.Pin(hdr)
	pin.Pin(data)
	if err := unix.Capget(hdr, &data[0]); err != nil {
		return fmt.Errorf("caps: read: %w", err)
	}
	for i := range data {
		m := uint32(mask >> (32 * i))
		data[i].Permitted &= m
		data[i].Effective &= m
		data[i].Inheritable = 0
	}
	if err := everyThread(unix.SYS_CAPSET, uintptr(unsafe.Pointer(hdr)), uintptr(unsafe.Pointer(&data[0])), 0); err != nil {
		return fmt.Errorf("caps: drop: %w", err)
	}
	if err := everyThread(unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0); err != nil {
		return fmt.Errorf("caps: no new privileges: %w", err)
	}
	return nil
}

// everyThread changes a setting that Linux keeps per thread.
func everyThread(trap, a1, a2, a3 uintptr) error {
	_, _, e := syscall.AllThreadsSyscall6(trap, a1, a2, a3, 0, 0, 0)
	switch {
	case e == syscall.ENOTSUP:
		return errors.New("this program was built with cgo, whose threads Go does not reach; build it with CGO_ENABLED=0, as make build does")
	case e != 0:
		return e
	}
	return nil
}

// lastCap returns the kernel's highest capability.
func lastCap() int {
	for c := unix.CAP_LAST_CAP; c < 63; c++ {
		if v, err := unix.PrctlRetInt(unix.PR_CAPBSET_READ, uintptr(c+1), 0, 0, 0); err != nil || v < 0 {
			return c
		}
	}
	return 63
}
