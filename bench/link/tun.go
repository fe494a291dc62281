//go:build linux

package main

import (
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// openTUN creates a TUN device in a namespace. The descriptor is blocking, because each one
// has its own goroutine and thread.
func openTUN(namespace, dev string) (int, error) {
	runtime.LockOSThread() // never unlocked on failure: the thread ends with its goroutine
	home, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return 0, err
	}
	defer home.Close()
	there, err := os.Open("/var/run/netns/" + namespace)
	if err != nil {
		return 0, err
	}
	defer there.Close()
	if err := unix.Setns(int(there.Fd()), unix.CLONE_NEWNET); err != nil {
		return 0, fmt.Errorf("enter namespace %s: %w", namespace, err)
	}
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0, fmt.Errorf("open /dev/net/tun: %w", err)
	}
	req, err := unix.NewIfreq(dev)
	if err != nil {
		return 0, err
	}
	req.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, req); err != nil {
		return 0, fmt.Errorf("make device %s in %s: %w", dev, namespace, err)
	}
	if err := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); err != nil {
		return 0, err
	}
	runtime.UnlockOSThread()
	return fd, nil
}
