package udp

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"nexd/internal/pktinfo"
	"nexd/internal/sockaddr"
)

const (
	gsoMaxSegments = 64                 // the limit of old kernels
	gsoMaxBytes4   = 1<<16 - 1 - 20 - 8 // the length in an IPv4 header includes the header
	gsoMaxBytes6   = 1<<16 - 1 - 8
)

// writer is the state of one send. newWriter sets the parts that never change.
type writer struct {
	s     *batchSocket
	addr  sockaddr.Raw
	hdrs  [BatchSize]unix.Mmsghdr
	iovs  [BatchSize]unix.Iovec
	ctrls [BatchSize]control
	first [BatchSize + 1]int // message -> index of its first packet

	source   pktinfo.Message // its control message,
	sourced  int             // … and its length; 0 = the routes select the source
	from, to int             // messages still to send
	errno    syscall.Errno
	writeFn  func(fd uintptr) bool // write, bound once to avoid an allocation
}

func newWriter(s *batchSocket) *writer {
	w := &writer{s: s}
	w.writeFn = w.write
	for i := range w.hdrs {
		w.hdrs[i].Hdr.Name = (*byte)(unsafe.Pointer(&w.addr))
		c := (*unix.Cmsghdr)(unsafe.Pointer(&w.ctrls[i]))
		c.Level, c.Type = unix.SOL_UDP, unix.UDP_SEGMENT
		c.SetLen(unix.CmsgLen(2))
	}
	return w
}

// segment points at the segment size in a control message.
func (c *control) segment() *uint16 {
	return (*uint16)(unsafe.Add(unsafe.Pointer(c), unix.CmsgLen(0)))
}

// source points behind the segment size.
func (c *control) source() *pktinfo.Message {
	return (*pktinfo.Message)(unsafe.Add(unsafe.Pointer(c), unix.CmsgSpace(2)))
}

func (s *batchSocket) send(bufs [][]byte, dst netip.AddrPort, source netip.Addr, plain bool) (refused Refused, err error) {
	w := s.writes.Get().(*writer)
	namelen := w.addr.Put(dst)
	w.sourced = 0
	if pktinfo.Fits(source, s.v6) {
		w.sourced = w.source.Put(source, s.v6)
	}
	for len(bufs) > 0 {
		n := min(len(bufs), BatchSize)
		r, e := w.send(bufs[:n], namelen, plain || refused.Run || !s.gso.Load())
		refused.add(r)
		if err == nil {
			err = e
		}
		clear(w.iovs[:n]) // so that the pool does not keep the caller's buffers alive
		if errors.Is(e, net.ErrClosed) {
			err = net.ErrClosed
			break
		}
		bufs = bufs[n:]
	}
	s.writes.Put(w)
	return refused, err
}

// send sends at most BatchSize packets. It goes on after an error and returns the first. If the
// source address is refused, the rest is sent without.
func (w *writer) send(bufs [][]byte, namelen uint32, plain bool) (refused Refused, err error) {
	for i, buf := range bufs {
		w.iovs[i].Base = unsafe.SliceData(buf)
		w.iovs[i].SetLen(len(buf))
	}
	w.from, w.to = 0, w.group(bufs, 0, namelen, plain)
	for w.from < w.to {
		if err := w.s.raw.Write(w.writeFn); err != nil {
			return refused, err
		}
		if w.errno == 0 {
			continue
		}
		run, alone := w.first[w.from+1]-w.first[w.from], true
		switch {
		case run > 1 && w.errno == unix.EIO:
			// The interface cannot compute checksums, which GSO requires.
			if w.s.gso.Swap(false) {
				w.s.logger.Info("UDP segmentation offload refused; sending packet by packet", "err", w.errno)
			}
		case run > 1 && (w.errno == unix.EINVAL || w.errno == unix.EMSGSIZE):
			refused.Run = true // a segment exceeds the path MTU, or the source is refused: the first packet shows it
		case w.sourced > 0 && pktinfo.Refused(w.errno):
			refused, alone = Refused{Source: true}, plain
			w.sourced = 0
		default:
			if err == nil {
				err = os.NewSyscallError("sendmmsg", w.errno)
			}
			w.from++
			continue
		}
		at := w.first[w.from]
		w.from, w.to = 0, w.group(bufs, at, namelen, alone)
	}
	return refused, err
}

// group makes messages of the packets from index at on. Unless plain is set, a run of
// packets of one size becomes one message; the last packet of a run may be smaller.
func (w *writer) group(bufs [][]byte, at int, namelen uint32, plain bool) (messages int) {
	limit := gsoMaxBytes4
	if w.s.v6 {
		limit = gsoMaxBytes6
	}
	m := 0
	for at < len(bufs) {
		size := len(bufs[at])
		end, total := at+1, size
		for !plain && end < len(bufs) && end-at < gsoMaxSegments {
			n := len(bufs[end])
			if n > size || n == 0 || total+n > limit {
				break
			}
			total += n
			end++
			if n < size {
				break
			}
		}
		h := &w.hdrs[m].Hdr
		h.Namelen = namelen
		h.Iov = &w.iovs[at]
		h.SetIovlen(end - at)
		switch {
		case end-at > 1:
			c := &w.ctrls[m]
			*c.segment() = uint16(size)
			if w.sourced > 0 {
				*c.source() = w.source
			}
			h.Control = (*byte)(unsafe.Pointer(c))
			h.SetControllen(unix.CmsgSpace(2) + w.sourced)
		case w.sourced > 0:
			h.Control = (*byte)(unsafe.Pointer(&w.source))
			h.SetControllen(w.sourced)
		default:
			h.Control = nil
			h.SetControllen(0)
		}
		w.first[m] = at
		m++
		at = end
	}
	w.first[m] = at
	return m
}

// write sends messages from..to. It returns false to be called again when the socket
// can take more.
func (w *writer) write(fd uintptr) bool {
	for w.from < w.to {
		n, _, errno := unix.RawSyscall6(unix.SYS_SENDMMSG, fd,
			uintptr(unsafe.Pointer(&w.hdrs[w.from])), uintptr(w.to-w.from), unix.MSG_DONTWAIT, 0, 0)
		switch errno {
		case 0:
			w.from += int(n)
		case unix.EINTR:
		case unix.EAGAIN:
			return false
		default:
			w.errno = errno
			return true
		}
	}
	w.errno = 0
	return true
}
