package e2e

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"golang.org/x/sys/unix"
)

// forget empties the NAT table of a namespace like `conntrack -F`, without the delay of
// starting a program.
//
// The thread returns to its namespace and does not end, because the end of a thread kills
// all processes that it has started, including those of other tests (Pdeathsig, see
// prepareAs).
func (l *lab) forget(ns string) error {
	runtime.LockOSThread()
	own, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		runtime.UnlockOSThread()
		return err
	}
	defer own.Close()
	there, err := os.Open(filepath.Join("/run/netns", l.prefix+ns))
	if err != nil {
		runtime.UnlockOSThread()
		return err
	}
	defer there.Close()
	if err = unix.Setns(int(there.Fd()), unix.CLONE_NEWNET); err == nil {
		err = flushConntrack()
	} else {
		err = fmt.Errorf("enter %s: %w", there.Name(), err)
	}
	if back := unix.Setns(int(own.Fd()), unix.CLONE_NEWNET); back != nil {
		return fmt.Errorf("leave %s: %w", there.Name(), back) // and stays locked: nobody else may run there
	}
	runtime.UnlockOSThread()
	return err
}

// flushConntrack is forget in the namespace of this thread.
func flushConntrack() error {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
	if err != nil {
		return fmt.Errorf("netlink: %w", err)
	}
	defer unix.Close(fd)
	const subsystem, deleteAll = 1, 2 // NFNL_SUBSYS_CTNETLINK, IPCTNL_MSG_CT_DELETE
	msg := make([]byte, 20)
	binary.NativeEndian.PutUint32(msg, 20)
	binary.NativeEndian.PutUint16(msg[4:], subsystem<<8|deleteAll)
	binary.NativeEndian.PutUint16(msg[6:], unix.NLM_F_REQUEST|unix.NLM_F_ACK)
	msg[16] = unix.AF_INET
	if err := unix.Sendto(fd, msg, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return fmt.Errorf("netlink: %w", err)
	}
	answer := make([]byte, 4096)
	n, _, err := unix.Recvfrom(fd, answer, 0)
	if err != nil || n < 20 {
		return fmt.Errorf("netlink: answer of %d bytes: %w", n, err)
	}
	if errno := int32(binary.NativeEndian.Uint32(answer[16:])); errno != 0 {
		return fmt.Errorf("flush the NAT table: %w", unix.Errno(-errno))
	}
	return nil
}
