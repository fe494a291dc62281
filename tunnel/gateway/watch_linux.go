package gateway

import (
	"context"
	"errors"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"nexd/mesh"
)

// groups are the netlink groups that Run listens to.
var groups = []struct {
	protocol int
	groups   []int
}{
	{unix.NETLINK_ROUTE, []int{unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR, unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE}},
	{unix.NETLINK_NETFILTER, []int{unix.NFNLGRP_NFTABLES}},
}

// watchKernel puts a token into changed whenever something changes, until ctx ends; wait
// returns when its goroutines have ended. It does not parse messages, and lost ones do not
// matter, because the caller reads the state again.
func watchKernel(ctx context.Context, changed chan<- struct{}) (wait func(), err error) {
	ctx, cancel := context.WithCancel(ctx)
	var readers sync.WaitGroup
	wait = func() { cancel(); readers.Wait() }
	for _, g := range groups {
		f, err := subscribe(g.protocol, g.groups)
		if err != nil {
			wait()
			return nil, mesh.Errorf(mesh.Unavailable, "gateway: watch the host: %w", err)
		}
		context.AfterFunc(ctx, func() { f.Close() })
		readers.Go(func() { readChanges(f, changed) })
	}
	return wait, nil
}

func subscribe(protocol int, groups []int) (*os.File, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, protocol)
	if err != nil {
		return nil, err
	}
	sa := &unix.SockaddrNetlink{Family: unix.AF_NETLINK}
	for _, g := range groups {
		sa.Groups |= 1 << (g - 1)
	}
	if err := unix.Bind(fd, sa); err != nil {
		unix.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), "netlink"), nil
}

// readChanges ends when f is closed.
func readChanges(f *os.File, changed chan<- struct{}) {
	buf := make([]byte, 1<<16)
	for {
		_, err := f.Read(buf)
		if err != nil && !errors.Is(err, unix.ENOBUFS) { // ENOBUFS: messages were lost
			return
		}
		select {
		case changed <- struct{}{}:
		default: // a token is waiting
		}
	}
}
