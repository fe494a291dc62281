package link

import (
	"encoding/binary"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"nexd/internal/packet"
)

// maxHeader is the longest IP and TCP header with options.
const maxHeader = 60 + 60

// segmenter splits one TCP super-segment into packets; any other packet passes
// through whole. load sums the header fields that are the same in all packets once.
type segmenter struct {
	pkt  *stack.PacketBuffer // owned; nil when there is nothing to split
	view *buffer.View        // holds the next payload byte
	at   int                 // offset in view

	left int // payload bytes not yet returned
	mss  int // payload bytes per packet
	size int // of the whole packet

	header    [maxHeader]byte
	headerLen int
	ipLen     int
	seq       uint32
	ipSum     uint16 // of the IPv4 header without length, ID and checksum
	tcpSum    uint16 // of pseudo header and TCP header without length, seq, flags and checksum
	flags     uint8
	id        uint16
	atomic    bool // has no ID because it is never fragmented (RFC 6864)
}

// busy reports whether a packet is loaded that next has not returned completely.
func (s *segmenter) busy() bool { return s.pkt != nil }

// load takes over the caller's reference on pkt.
func (s *segmenter) load(pkt *stack.PacketBuffer) {
	views, offset := pkt.AsViewList()
	s.pkt, s.view, s.at, s.size = pkt, views.Front(), offset, pkt.Size()
	s.headerLen = 0
	if pkt.GSOOptions.Type == stack.GSONone {
		return
	}
	s.ipLen = int(pkt.GSOOptions.L3HdrLen)
	s.headerLen = len(pkt.NetworkHeader().Slice()) + len(pkt.TransportHeader().Slice())
	if s.headerLen > maxHeader || s.ipLen+packet.TCPHeaderLen > s.headerLen {
		s.headerLen = 0 // not made by gVisor's TCP: pass it through
		return
	}
	s.copyOut(s.header[:s.headerLen])
	s.left = s.size - s.headerLen
	s.mss = packetPayload(pkt, s.headerLen)
	s.template()
}

// packetPayload is the payload of one packet of a super-segment. gVisor sends some
// segments before it knows the MSS; they are small and become one packet.
func packetPayload(pkt *stack.PacketBuffer, headerLen int) int {
	mss := int(pkt.GSOOptions.MSS)
	if mss == 0 {
		mss = max(pkt.Size()-headerLen, 1)
	}
	if s, ok := pkt.Owner.(Sender); ok {
		if limit := s.PacketLimit(); limit > headerLen && limit-headerLen < mss {
			mss = limit - headerLen
		}
	}
	return mss
}

// template sums the header fields that all packets share and clears the others.
func (s *segmenter) template() {
	ip, tcp := s.header[:s.ipLen], s.header[s.ipLen:s.headerLen]
	s.seq, s.flags = binary.BigEndian.Uint32(tcp[4:]), tcp[13]
	clear(tcp[4:8])
	tcp[13] = 0
	clear(tcp[16:18])
	addresses := ip[8:40]
	if ip[0]>>4 == 4 {
		addresses = ip[12:20]
		s.id = binary.BigEndian.Uint16(ip[4:])
		s.atomic = s.id == 0
		clear(ip[2:6])
		clear(ip[10:12])
		s.ipSum = packet.Sum(ip, 0)
	}
	s.tcpSum = packet.Sum(tcp, packet.PseudoHeader(addresses, packet.ProtoTCP, 0))
}

// next writes the next packet to dst and returns its length. It returns 0, and drops
// the rest, if the packet does not fit. After the last packet the segmenter is not
// busy.
func (s *segmenter) next(dst []byte) int {
	if s.headerLen == 0 {
		defer s.release()
		if s.size > len(dst) {
			return 0
		}
		s.copyOut(dst[:s.size])
		return s.size
	}
	n := min(s.left, s.mss)
	total := s.headerLen + n
	if total > len(dst) {
		s.release()
		return 0
	}
	s.left -= n
	dst = dst[:total]
	copy(dst, s.header[:s.headerLen])
	s.copyOut(dst[s.headerLen:])
	s.finish(dst)
	s.seq += uint32(n)
	if s.left == 0 {
		s.release()
	}
	return total
}

// finish sets the fields that template cleared. As without offload, only the last
// packet carries PSH and FIN, and only the first carries CWR.
func (s *segmenter) finish(b []byte) {
	ip, tcp := b[:s.ipLen], b[s.ipLen:]
	if ip[0]>>4 == 4 {
		binary.BigEndian.PutUint16(ip[2:], uint16(len(b)))
		binary.BigEndian.PutUint16(ip[4:], s.id)
		sum := packet.Combine(packet.Combine(s.ipSum, uint16(len(b))), s.id)
		binary.BigEndian.PutUint16(ip[10:], ^sum)
		if !s.atomic {
			s.id++
		}
	} else {
		binary.BigEndian.PutUint16(ip[4:], uint16(len(b)-packet.IPv6HeaderLen))
	}
	flags := s.flags
	if s.left > 0 {
		flags &^= packet.PSH | packet.FIN
	}
	s.flags &^= packet.CWR
	binary.BigEndian.PutUint32(tcp[4:], s.seq)
	tcp[13] = flags
	sum := packet.Combine(s.tcpSum, uint16(len(tcp)))
	sum = packet.Combine(sum, uint16(s.seq>>16))
	sum = packet.Combine(sum, uint16(s.seq))
	sum = packet.Combine(sum, uint16(flags))
	sum = packet.Sum(tcp[s.headerLen-s.ipLen:], sum)
	binary.BigEndian.PutUint16(tcp[16:], ^sum)
}

// copyOut copies the next len(dst) bytes of the packet to dst.
func (s *segmenter) copyOut(dst []byte) {
	for len(dst) > 0 && s.view != nil {
		b := s.view.AsSlice()
		if s.at >= len(b) {
			s.at -= len(b)
			s.view = s.view.Next()
			continue
		}
		n := copy(dst, b[s.at:])
		dst = dst[n:]
		s.at += n
	}
}

func (s *segmenter) release() {
	s.pkt.DecRef()
	s.pkt, s.view = nil, nil
}
