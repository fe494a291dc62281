package link

import (
	"bytes"
	"encoding/binary"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"nexd/internal/packet"
	"nexd/netstack/gvisor"
)

// maxRun is the size of the largest joined packet: the limit of IPv4's length field.
const maxRun = 65535

// run joins consecutive TCP segments of one connection that arrive in one Write into
// a single packet (GRO). Their headers must be equal except for lengths, checksums,
// sequence number, IP ID and PSH. The data is collected by reference and copied once,
// by join.
type run struct {
	head  packet.IP // the first packet; its header becomes that of the joined one
	tcp   packet.TCP
	data  [][]byte
	size  int    // of the data
	next  uint32 // sequence number after the data
	flags uint8  // of all segments
	flow  packet.Flow
	alone bool // no other segment may join
}

// joinable reports whether a segment is plain data, which may be part of a run.
func joinable(p packet.IP, tcp packet.TCP) bool {
	if tcp.Flags()&^(packet.ACK|packet.PSH) != 0 || tcp.Flags()&packet.ACK == 0 || len(tcp.Data()) == 0 {
		return false
	}
	if p.Is4() {
		return p.HeaderLen() == packet.IPv4HeaderLen
	}
	return p.HeaderLen() == packet.IPv6HeaderLen
}

func (r *run) empty() bool { return len(r.data) == 0 }

func (r *run) begin(p packet.IP, tcp packet.TCP, g *gapTable) {
	r.flow, _ = p.Flow()
	r.alone = !g.begins(r.flow, tcp.Seq())
	r.head, r.tcp, r.size, r.flags = p, tcp, 0, 0
	r.data = r.data[:0]
	r.add(tcp)
}

func (r *run) add(tcp packet.TCP) {
	data := tcp.Data()
	r.data = append(r.data, data)
	r.size += len(data)
	r.flags |= tcp.Flags()
	r.next = tcp.Seq() + uint32(len(data))
}

// goesOn reports whether the segment continues the run.
func (r *run) goesOn(p packet.IP, tcp packet.TCP) bool {
	if r.empty() || r.alone || tcp.Seq() != r.next || r.head.HeaderLen()+r.tcp.HeaderLen()+r.size+len(tcp.Data()) > maxRun {
		return false
	}
	return sameIP(r.head.Bytes(), p.Bytes()) &&
		bytes.Equal(r.tcp[:4], tcp[:4]) && // ports
		bytes.Equal(r.tcp[8:13], tcp[8:13]) && // ack, header length
		bytes.Equal(r.tcp[14:16], tcp[14:16]) && // window
		bytes.Equal(r.tcp.Options(), tcp.Options())
}

// sameIP compares the fields of two IP headers that must be equal: version, traffic
// class, flags, hop limit and addresses.
func sameIP(a, b []byte) bool {
	if a[0] != b[0] || a[1] != b[1] {
		return false
	}
	if a[0]>>4 == 4 {
		return a[6] == b[6] && a[8] == b[8] && bytes.Equal(a[12:20], b[12:20])
	}
	return a[2] == b[2] && a[3] == b[3] && a[7] == b[7] && bytes.Equal(a[8:40], b[8:40])
}

// join makes one packet of the run and empties the run. Header and data get one view
// each, because gVisor copies the view that holds a header when it parses the header.
func (r *run) join() *stack.PacketBuffer {
	headerLen := r.head.HeaderLen() + r.tcp.HeaderLen()
	h := buffer.NewViewSize(headerLen)
	b := h.AsSlice()
	copy(b, r.head.Bytes()[:headerLen])
	total := headerLen + r.size
	if r.head.Is4() {
		was := binary.BigEndian.Uint16(b[2:])
		binary.BigEndian.PutUint16(b[2:], uint16(total))
		binary.BigEndian.PutUint16(b[10:], packet.Update(binary.BigEndian.Uint16(b[10:]), was, uint16(total)))
	} else {
		binary.BigEndian.PutUint16(b[4:], uint16(total-packet.IPv6HeaderLen))
	}
	b[r.head.HeaderLen()+13] = r.flags
	v := buffer.NewView(r.size)
	for i, d := range r.data {
		v.Write(d)
		r.data[i] = nil
	}
	is4 := r.head.Is4()
	r.head, r.tcp, r.data = packet.IP{}, nil, r.data[:0]
	payload, data := buffer.MakeWithView(h), buffer.MakeWithView(v)
	payload.Merge(&data)
	return gvisor.NewPacket(is4, payload)
}
