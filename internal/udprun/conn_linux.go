package udprun

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

// setOptions sets what may fail without harm.
func (c *Conn) setOptions() {
	raw, err := c.udp.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) {
		fds := int(fd)
		// Beyond the system's maximum, where we may.
		_ = unix.SetsockoptInt(fds, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, bufferSize)
		_ = unix.SetsockoptInt(fds, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, bufferSize)
		// No DF bit: a path of a smaller MTU gets fragments instead of nothing.
		_ = unix.SetsockoptInt(fds, unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_DONT)
		_, err := unix.GetsockoptInt(fds, unix.IPPROTO_UDP, unix.UDP_SEGMENT)
		c.gso.Store(err == nil)
		c.gro = unix.SetsockoptInt(fds, unix.IPPROTO_UDP, unix.UDP_GRO, 1) == nil
	})
}

// control is room for one control message, aligned.
type control [4]uint64

func (m *control) bytes() []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(m)), unsafe.Sizeof(*m))
}

// write sends a run in one call.
func (c *Conn) write(run []byte, segment int, to netip.AddrPort) error {
	if len(run) <= segment {
		_, err := c.udp.WriteToUDPAddrPort(run, to)
		return err
	}
	var m control
	h := (*unix.Cmsghdr)(unsafe.Pointer(&m))
	h.Level, h.Type = unix.SOL_UDP, unix.UDP_SEGMENT
	h.SetLen(unix.CmsgLen(2))
	oob := m.bytes()[:unix.CmsgSpace(2)]
	binary.NativeEndian.PutUint16(oob[unix.CmsgLen(0):], uint16(segment))
	_, _, err := c.udp.WriteMsgUDPAddrPort(run, oob, to)
	return err
}

// refusal says whether a run was refused because this system never takes one, or
// because the way there does not.
func refusal(err error) (never, here bool) {
	// EIO: the interface cannot do checksums, without which no segmentation.
	// The others: a segment is larger than the path's MTU.
	return errors.Is(err, unix.EIO), errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EMSGSIZE)
}

// Reader reads for one goroutine.
type Reader struct {
	c   *Conn
	oob control
}

// Reader makes one.
func (c *Conn) Reader() *Reader { return &Reader{c: c} }

// Read waits for datagrams of one sender and says how long each but the last is.
// The buffer has BufferSize.
func (r *Reader) Read(buf []byte) (n, segment int, from netip.AddrPort, err error) {
	if !r.c.gro {
		n, from, err = r.c.udp.ReadFromUDPAddrPort(buf)
		return n, n, from, err
	}
	oob := r.oob.bytes()
	n, oobn, _, from, err := r.c.udp.ReadMsgUDPAddrPort(buf, oob)
	if err != nil {
		return n, n, from, err
	}
	return n, segmentOf(oob[:oobn], n), from, nil
}

// segmentOf reads the segment size of a run of n bytes, n if it is one datagram.
func segmentOf(oob []byte, n int) int {
	for len(oob) > 0 {
		h, data, rest, err := unix.ParseOneSocketControlMessage(oob)
		if err != nil {
			break
		}
		if h.Level == unix.SOL_UDP && h.Type == unix.UDP_GRO && len(data) >= 4 {
			if s := int(binary.NativeEndian.Uint32(data)); s > 0 && s < n {
				return s
			}
		}
		oob = rest
	}
	return n
}
