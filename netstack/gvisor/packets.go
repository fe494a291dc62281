package gvisor

import (
	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"nexd/internal/packet"
)

// NewPacket makes a received packet of its bytes, which begin with the IP header.
// It takes over the buffer.
func NewPacket(is4 bool, whole buffer.Buffer) *stack.PacketBuffer {
	pkt := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: whole})
	pkt.NetworkProtocolNumber = protocol(is4)
	return pkt
}

// CopyPacket makes a received packet of a copy of p.
func CopyPacket(p packet.IP) *stack.PacketBuffer {
	return NewPacket(p.Is4(), buffer.MakeWithData(p.Bytes()))
}

// Whole returns a copy of a received packet, beginning with its IP header.
func Whole(pkt *stack.PacketBuffer) []byte {
	v := stack.PayloadSince(pkt.NetworkHeader())
	defer v.Release()
	return v.ToSlice()
}
