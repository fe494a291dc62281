//go:build unix

package router

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"syscall"
	"time"
)

// pingSocketWorks reports whether the kernel lets this process open ping sockets. On Linux,
// net.ipv4.ping_group_range decides this for both address families. No packet is sent.
func pingSocketWorks(target netip.Addr) bool {
	f, err := openPing(target)
	if err != nil {
		return false
	}
	f.Close()
	return true
}

// openPing opens a ping socket connected to target, so that it receives no replies and errors of
// other addresses.
func openPing(target netip.Addr) (*os.File, error) {
	family, protocol := syscall.AF_INET6, syscall.IPPROTO_ICMPV6
	var to syscall.Sockaddr = &syscall.SockaddrInet6{Addr: target.As16()}
	if target.Is4() {
		family, protocol = syscall.AF_INET, syscall.IPPROTO_ICMP
		to = &syscall.SockaddrInet4{Addr: target.As4()}
	}
	fd, err := pingFD(family, protocol)
	if err != nil {
		return nil, fmt.Errorf("router: ping socket for %v: %w", target, err)
	}
	wantErrors(fd, target.Is6())
	if err := syscall.Connect(fd, to); err != nil {
		syscall.Close(fd)
		return nil, fmt.Errorf("router: ping socket to %v: %w", target, err)
	}
	return os.NewFile(uintptr(fd), "ping "+target.String()), nil
}

func pingFD(family, protocol int) (int, error) {
	syscall.ForkLock.RLock() // no child may inherit the socket before it is close-on-exec
	defer syscall.ForkLock.RUnlock()
	fd, err := syscall.Socket(family, syscall.SOCK_DGRAM, protocol)
	if err != nil {
		return -1, err
	}
	syscall.CloseOnExec(fd)
	if err := syscall.SetNonblock(fd, true); err != nil {
		syscall.Close(fd)
		return -1, err
	}
	return fd, nil
}

// pingSocket sends one echo request with the probe's sequence number and payload and waits for the
// reply.
func pingSocket(ctx context.Context, p probe) error {
	f, err := openPing(p.target)
	if err != nil {
		return err
	}
	defer f.Close()
	defer context.AfterFunc(ctx, func() { _ = f.SetDeadline(time.Unix(1, 0)) })()
	if _, err := f.Write(echoMessage(p)); err != nil {
		return fmt.Errorf("router: ping %v: %w", p.target, err)
	}
	buf := make([]byte, 60+echoHeader+len(p.payload)+1) // room for IP options, and for one byte too many
	for {
		n, err := f.Read(buf)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			return fmt.Errorf("router: ping %v: %w", p.target, err)
		case answers(buf[:n], p):
			return nil
		}
	}
}
