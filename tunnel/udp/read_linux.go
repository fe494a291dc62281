package udp

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"nexd/internal/pktinfo"
	"nexd/internal/sockaddr"
)

const (
	maxDatagram = 1<<16 - 1

	// minSegment is the smallest segment size that the reader prepares for. Runs of
	// smaller packets are cheap to copy; a wrong guess about large packets is not.
	minSegment  = 1024
	segmentHits = 16 // runs of another size before the reader prepares for a smaller size

	groupWindow = 32 // reads after which the group shrinks to the size that was needed
)

// groups are the possible numbers of slots for one message. With GRO one message may
// hold that many datagrams; few slots leave room for many messages.
var groups = [...]int{4, 16, 64}

// batchReader reads with GRO straight into the caller's buffers. It receives a message
// into a group of slots: each slot takes one segment of the expected size, the last
// slot takes the rest.
//
//	slots   |0 |1 |2 |...|63      |64|65|...      group = 64, 2 messages
//	room     S  S  S      the rest S  S
//
// Segments of size S lie in their slots already. The reader copies segments of another
// size to their slots; that is rare, because S and the group follow the arriving sizes.
// Datagrams that do not fit into the slots wait for the next read.
type batchReader struct {
	s       *batchSocket
	hdrs    [BatchSize]unix.Mmsghdr
	iovs    [BatchSize]unix.Iovec
	addrs   [BatchSize]sockaddr.Raw
	ctrls   [BatchSize]control
	readFn  func(fd uintptr) bool // recv, bound once to avoid an allocation
	zones   map[uint32]string
	scratch []byte // for copying; allocated on first use

	group, segment  int // planned for the next read
	laid            int // prepared for this read: bytes of a slot,
	slots, messages int // … slots of a message, messages of the read
	got             int
	errno           syscall.Errno
	most, reads     int // largest number of segments in a message, and reads, of this window
	misses          int // runs since the last one of the expected size
	waiting         []leftover
}

// leftover is a run of datagrams that found no slot.
type leftover struct {
	data    []byte
	segment int
	src     netip.AddrPort
	at      netip.Addr
}

func (s *batchSocket) newReader() Reader {
	r := &batchReader{s: s, group: 1, segment: maxDatagram}
	if s.gro {
		r.group, r.segment = groups[len(groups)-1], 1452
	}
	r.readFn = r.recv
	for i := range r.hdrs {
		r.hdrs[i].Hdr.Name = (*byte)(unsafe.Pointer(&r.addrs[i]))
		r.hdrs[i].Hdr.Control = (*byte)(unsafe.Pointer(&r.ctrls[i]))
	}
	return r
}

func (r *batchReader) Read(bufs [][]byte, sizes []int, spans []Span) (int, error) {
	if len(r.waiting) > 0 {
		return r.deliver(bufs, sizes, spans), nil
	}
	r.prepare(bufs)
	if err := r.s.raw.Read(r.readFn); err != nil {
		if errors.Is(err, net.ErrClosed) {
			err = net.ErrClosed
		}
		return 0, err
	}
	if r.errno != 0 {
		return 0, os.NewSyscallError("recvmmsg", r.errno)
	}
	n := 0
	for i := range r.got {
		first := i * r.slots
		clear(sizes[first : first+r.slots])
		if s := r.message(i, bufs, sizes); s.Count > 0 {
			spans[n] = s
			n++
		}
	}
	r.adapt()
	return n, nil
}

// prepare points the messages at the buffers.
func (r *batchReader) prepare(bufs [][]byte) {
	r.laid = r.segment
	r.slots = min(r.group, len(bufs))
	r.messages = min(len(bufs)/r.slots, len(r.hdrs))
	for i := range r.messages {
		h := &r.hdrs[i].Hdr
		h.Namelen = sockaddr.Size
		h.Iov = &r.iovs[i*r.slots]
		h.SetIovlen(r.slots)
		h.SetControllen(controlSize)
		h.Flags = 0
		for j := i * r.slots; j < (i+1)*r.slots; j++ {
			r.iovs[j].Base = unsafe.SliceData(bufs[j])
			r.iovs[j].SetLen(min(r.laid, len(bufs[j])))
		}
		last := (i+1)*r.slots - 1
		r.iovs[last].SetLen(len(bufs[last]))
	}
}

// recv reads once. It returns false to be called again when datagrams arrive.
func (r *batchReader) recv(fd uintptr) bool {
	for {
		n, _, errno := unix.RawSyscall6(unix.SYS_RECVMMSG, fd,
			uintptr(unsafe.Pointer(&r.hdrs[0])), uintptr(r.messages), unix.MSG_DONTWAIT, 0, 0)
		switch errno {
		case unix.EINTR:
			continue
		case unix.EAGAIN:
			return false
		}
		r.got, r.errno = int(n), errno
		return true
	}
}

// message brings the segments of message i into its slots and returns the used slots.
func (r *batchReader) message(i int, bufs [][]byte, sizes []int) (s Span) {
	h := &r.hdrs[i]
	s.First = i * r.slots
	total := int(h.Len)
	if total == 0 || h.Hdr.Flags&unix.MSG_TRUNC != 0 {
		return s
	}
	at, segment := pktinfo.Parse(r.control(i))
	s.Src, s.At = r.source(i), at
	if segment <= 0 || segment > total {
		segment = total
	}
	first, need := s.First, (total+segment-1)/segment
	r.observe(need, segment)
	switch {
	case len(r.waiting) > 0: // keep the order: wait behind the earlier datagrams
		r.wait(r.linear(first, total, bufs), segment, s)
		return s
	case need == 1:
		r.join(first, total, bufs)
		sizes[first], s.Count = total, 1
		return s
	case segment == r.laid && need <= r.slots && len(bufs[first]) >= segment:
		for j := range need - 1 {
			sizes[first+j] = segment
		}
		sizes[first+need-1] = total - (need-1)*segment
		s.Count = need
		return s
	}
	rest := r.linear(first, total, bufs)
	s.Count = deal(rest, segment, bufs[first:first+r.slots], sizes[first:])
	if rest = rest[min(s.Count*segment, len(rest)):]; len(rest) > 0 {
		r.wait(rest, segment, s)
	}
	return s
}

// wait keeps datagrams of a span for the next read.
func (r *batchReader) wait(data []byte, segment int, of Span) {
	r.waiting = append(r.waiting, leftover{slices.Clone(data), segment, of.Src, of.At})
}

// join makes one datagram of the bytes in the slots from first on.
func (r *batchReader) join(first, total int, bufs [][]byte) {
	at := int(r.iovs[first].Len)
	for j := first + 1; at < total; j++ {
		at += copy(bufs[first][at:], bufs[j][:min(int(r.iovs[j].Len), total-at)])
	}
}

// linear copies a message into one contiguous buffer.
func (r *batchReader) linear(first, total int, bufs [][]byte) []byte {
	if r.scratch == nil {
		r.scratch = make([]byte, maxDatagram+1)
	}
	at := 0
	for j := first; at < total; j++ {
		at += copy(r.scratch[at:total], bufs[j][:r.iovs[j].Len])
	}
	return r.scratch[:total]
}

// deal copies segments into slots until either runs out.
func deal(data []byte, segment int, bufs [][]byte, sizes []int) (count int) {
	for count < len(bufs) && len(data) > 0 {
		n := min(segment, len(data))
		sizes[count] = copy(bufs[count], data[:n])
		data = data[n:]
		count++
	}
	return count
}

// deliver returns the datagrams that found no slot earlier.
func (r *batchReader) deliver(bufs [][]byte, sizes []int, spans []Span) (n int) {
	at := 0
	for n < len(r.waiting) && n < len(spans) && at < len(bufs) {
		l := &r.waiting[n]
		count := deal(l.data, l.segment, bufs[at:], sizes[at:])
		spans[n] = Span{at, count, l.src, l.at}
		n++
		at += count
		if l.data = l.data[min(count*l.segment, len(l.data)):]; len(l.data) > 0 {
			r.waiting = r.waiting[n-1:]
			return n
		}
	}
	if r.waiting = r.waiting[n:]; len(r.waiting) == 0 {
		r.waiting = nil
	}
	return n
}

// observe adapts the planned segment size: at once to larger segments, and to smaller
// ones after the larger have stopped.
func (r *batchReader) observe(need, segment int) {
	r.most = max(r.most, need)
	switch {
	case need == 1 || !r.s.gro:
	case segment == r.segment:
		r.misses = 0
	case segment < minSegment:
	case segment > r.segment, r.misses >= segmentHits:
		r.segment, r.misses = segment, 0
	default:
		r.misses++
	}
}

// adapt does the same for the number of segments in a message.
func (r *batchReader) adapt() {
	if !r.s.gro {
		return
	}
	want := groups[len(groups)-1]
	for _, g := range groups {
		if r.most <= g {
			want = g
			break
		}
	}
	r.reads++
	switch {
	case want > r.group, r.reads >= groupWindow:
		r.group, r.reads, r.most = want, 0, 0
	}
}

// control is what the kernel said about message i.
func (r *batchReader) control(i int) []byte {
	return (*[controlSize]byte)(unsafe.Pointer(&r.ctrls[i]))[:min(int(r.hdrs[i].Hdr.Controllen), controlSize)]
}

// source is the source address of message i.
func (r *batchReader) source(i int) netip.AddrPort {
	if !r.s.v6 {
		return r.addrs[i].Get4()
	}
	at, scope := r.addrs[i].Get6()
	if scope == 0 {
		return at
	}
	zone, ok := r.zones[scope]
	if !ok {
		zone = strconv.FormatUint(uint64(scope), 10)
		if len(r.zones) > 64 || r.zones == nil {
			r.zones = map[uint32]string{}
		}
		r.zones[scope] = zone
	}
	return netip.AddrPortFrom(at.Addr().WithZone(zone), at.Port())
}
