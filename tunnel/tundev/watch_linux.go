package tundev

import (
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// watch reports changes of the host's links, addresses, routes or rules. It does not parse
// messages, and lost ones do not matter, because the caller reads the state again.
type watch struct {
	f   *os.File
	buf [1 << 14]byte
}

var watched = []uint32{
	unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR,
	unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE, unix.RTNLGRP_IPV4_RULE, unix.RTNLGRP_IPV6_RULE,
}

func newWatch() (*watch, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, err
	}
	sa := &unix.SockaddrNetlink{Family: unix.AF_NETLINK}
	for _, g := range watched {
		sa.Groups |= 1 << (g - 1)
	}
	if err := unix.Bind(fd, sa); err != nil {
		unix.Close(fd)
		return nil, err
	}
	return &watch{f: os.NewFile(uintptr(fd), "netlink")}, nil
}

// wait returns after a change.
func (w *watch) wait() error {
	_, err := w.f.Read(w.buf[:])
	if errors.Is(err, unix.ENOBUFS) { // messages were lost
		return nil
	}
	return err
}

// drain discards pending messages.
func (w *watch) drain() {
	w.f.SetReadDeadline(time.Now())
	for w.wait() == nil {
	}
	w.f.SetReadDeadline(time.Time{})
}

func (w *watch) close() { w.f.Close() }
