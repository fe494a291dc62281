package underlay

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

	"nexd/internal/sockaddr"
)

const (
	maxDatagram = 1<<16 - 1

	// minSegment is the smallest segment size the reader prepares for. Runs of
	// smaller packets are cheap to copy, and a wrong guess about large ones is not.
	minSegment  = 1024
	segmentHits = 16 // runs of another size before a smaller one is prepared for

	groupWindow = 32 // reads after which the group shrinks to what was needed
)

// groups are the numbers of slots prepared for one message. With GRO one message
// may hold that many datagrams; few slots leave room for many messages.
var groups = [...]int{4, 16, 64}

// udpReader reads with GRO straight into the caller's buffers: a message is
// received into a group of slots, each of which takes one segment of the size
// that is expected, the last one whatever is left:
//
//	slots   |0 |1 |2 |...|63      |64|65|...      group = 64, 2 messages
//	room     S  S  S      the rest S  S
//
// If the segments have size S, they lie where they belong. If not, they are
// copied to where they belong, which always works and is rare: S and the group
// follow what arrives. What does not fit into the slots waits for the next read.
type udpReader struct {
	s       *udpSocket
	hdrs    [batchSize]unix.Mmsghdr
	iovs    [batchSize]unix.Iovec
	addrs   [batchSize]sockaddr.Raw
	ctrls   [batchSize]control
	readFn  func(fd uintptr) bool // recv, bound once
	zones   map[uint32]string
	scratch []byte // for copying; made when first needed

	group, segment  int // as planned
	laid            int // as prepared: room of a slot,
	slots, messages int // slots of one message, messages of one read
	got             int
	errno           syscall.Errno
	most, reads     int // largest number of segments in a message within the window
	misses          int // runs since the last of the expected size
	waiting         []leftover
}

// leftover are datagrams that found no slot.
type leftover struct {
	data    []byte
	segment int
	src     netip.AddrPort
}

func (s *udpSocket) newReader() reader {
	r := &udpReader{s: s, group: 1, segment: maxDatagram}
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

func (r *udpReader) read(bufs [][]byte, sizes []int, spans []span) (int, error) {
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
		if count, src := r.message(i, bufs, sizes); count > 0 {
			spans[n] = span{first, count, src}
			n++
		}
	}
	r.adapt()
	return n, nil
}

// prepare points the messages at the buffers.
func (r *udpReader) prepare(bufs [][]byte) {
	r.laid = r.segment
	r.slots = min(r.group, len(bufs))
	r.messages = min(len(bufs)/r.slots, len(r.hdrs))
	for i := range r.messages {
		h := &r.hdrs[i].Hdr
		h.Namelen = sockaddr.Size
		h.Iov = &r.iovs[i*r.slots]
		h.SetIovlen(r.slots)
		h.SetControllen(len(control{}) * 8)
		h.Flags = 0
		for j := i * r.slots; j < (i+1)*r.slots; j++ {
			r.iovs[j].Base = unsafe.SliceData(bufs[j])
			r.iovs[j].SetLen(min(r.laid, len(bufs[j])))
		}
		last := (i+1)*r.slots - 1
		r.iovs[last].SetLen(len(bufs[last]))
	}
}

// recv reads once; false asks to be called again when there is something.
func (r *udpReader) recv(fd uintptr) bool {
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

// message brings the segments of message i into its slots and says how many
// slots are used.
func (r *udpReader) message(i int, bufs [][]byte, sizes []int) (count int, src netip.AddrPort) {
	h := &r.hdrs[i]
	total, segment := int(h.Len), r.segmentOf(i)
	if total == 0 || h.Hdr.Flags&unix.MSG_TRUNC != 0 {
		return 0, netip.AddrPort{}
	}
	src = r.source(i)
	if segment <= 0 || segment > total {
		segment = total
	}
	first, need := i*r.slots, (total+segment-1)/segment
	r.observe(need, segment)
	switch {
	case len(r.waiting) > 0: // not before those
		r.wait(r.linear(first, total, bufs), segment, src)
		return 0, src
	case need == 1:
		r.join(first, total, bufs)
		sizes[first] = total
		return 1, src
	case segment == r.laid && need <= r.slots && len(bufs[first]) >= segment:
		for j := range need - 1 {
			sizes[first+j] = segment
		}
		sizes[first+need-1] = total - (need-1)*segment
		return need, src
	}
	rest := r.linear(first, total, bufs)
	count = deal(rest, segment, bufs[first:first+r.slots], sizes[first:])
	if rest = rest[min(count*segment, len(rest)):]; len(rest) > 0 {
		r.wait(rest, segment, src)
	}
	return count, src
}

func (r *udpReader) wait(data []byte, segment int, src netip.AddrPort) {
	r.waiting = append(r.waiting, leftover{slices.Clone(data), segment, src})
}

// join makes one datagram of what lies in the slots from first on.
func (r *udpReader) join(first, total int, bufs [][]byte) {
	at := int(r.iovs[first].Len)
	for j := first + 1; at < total; j++ {
		at += copy(bufs[first][at:], bufs[j][:min(int(r.iovs[j].Len), total-at)])
	}
}

// linear copies a message together.
func (r *udpReader) linear(first, total int, bufs [][]byte) []byte {
	if r.scratch == nil {
		r.scratch = make([]byte, maxDatagram+1)
	}
	at := 0
	for j := first; at < total; j++ {
		at += copy(r.scratch[at:total], bufs[j][:r.iovs[j].Len])
	}
	return r.scratch[:total]
}

// deal copies segments into slots as long as there are any of either.
func deal(data []byte, segment int, bufs [][]byte, sizes []int) (count int) {
	for count < len(bufs) && len(data) > 0 {
		n := min(segment, len(data))
		sizes[count] = copy(bufs[count], data[:n])
		data = data[n:]
		count++
	}
	return count
}

// deliver hands out what found no slot earlier.
func (r *udpReader) deliver(bufs [][]byte, sizes []int, spans []span) (n int) {
	at := 0
	for n < len(r.waiting) && n < len(spans) && at < len(bufs) {
		l := &r.waiting[n]
		count := deal(l.data, l.segment, bufs[at:], sizes[at:])
		spans[n] = span{at, count, l.src}
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

// observe follows the segment size: to larger ones at once, to smaller ones when
// the larger are gone.
func (r *udpReader) observe(need, segment int) {
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

// adapt follows the number of segments in a message, in the same way.
func (r *udpReader) adapt() {
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

// segmentOf reads the segment size of message i, 0 when it is a single datagram.
func (r *udpReader) segmentOf(i int) int {
	if int(r.hdrs[i].Hdr.Controllen) < unix.CmsgLen(4) {
		return 0
	}
	c := (*unix.Cmsghdr)(unsafe.Pointer(&r.ctrls[i]))
	if c.Level != unix.SOL_UDP || c.Type != unix.UDP_GRO {
		return 0
	}
	return int(*(*int32)(unsafe.Add(unsafe.Pointer(c), unix.CmsgLen(0))))
}

// source is where message i came from.
func (r *udpReader) source(i int) netip.AddrPort {
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
