package e2e

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// sniff writes every frame on an interface to a pcap file until SIGTERM. Unlike tcpdump, it
// works as the root of a user namespace, where tcpdump cannot change its user.
func sniff(device, file string) error {
	ifi, err := net.InterfaceByName(device)
	if err != nil {
		return err
	}
	const everything = uint16(unix.ETH_P_ALL)
	proto := everything<<8 | everything>>8 // network order
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW, int(proto))
	if err != nil {
		return fmt.Errorf("packet socket: %w", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: proto, Ifindex: ifi.Index}); err != nil {
		return err
	}
	promisc := unix.PacketMreq{Ifindex: int32(ifi.Index), Type: unix.PACKET_MR_PROMISC}
	if err := unix.SetsockoptPacketMreq(fd, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP, &promisc); err != nil {
		return err
	}
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	head := make([]byte, 24)
	binary.LittleEndian.PutUint32(head, 0xa1b2c3d4)
	head[4], head[6] = 2, 4 // version
	binary.LittleEndian.PutUint32(head[16:], 1<<18)
	binary.LittleEndian.PutUint32(head[20:], 1) // Ethernet
	if _, err := f.Write(head); err != nil {
		return err
	}
	// On SIGTERM it first writes the pending frames.
	const idle = 10 * time.Millisecond
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: idle.Microseconds()}); err != nil {
		return err
	}
	end := make(chan os.Signal, 1)
	signal.Notify(end, syscall.SIGTERM)
	var told time.Time
	for buf := make([]byte, 16+1<<17); ; {
		n, err := unix.Read(fd, buf[16:])
		if len(end) > 0 && told.IsZero() {
			told = time.Now()
		}
		switch {
		case !told.IsZero() && (errors.Is(err, unix.EAGAIN) || time.Since(told) > time.Second):
			return nil
		case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return err
		}
		clear(buf[:8]) // no times: nobody reads them
		binary.LittleEndian.PutUint32(buf[8:], uint32(n))
		binary.LittleEndian.PutUint32(buf[12:], uint32(n))
		if _, err := f.Write(buf[:16+n]); err != nil {
			return err
		}
	}
}
