package relay

import "nexd/internal/sealed"

// Class is the class of a packet by its appearance. Only its receiver can tell whether the packet
// is genuine.
type Class uint8

// Classes of packets.
const (
	NotSealed Class = iota // not a packet that a relay forwards
	Data                   // a WireGuard data message
	Handshake              // a WireGuard handshake or cookie message, a ping that looks like one, or a callme
)

const (
	dataStep  = 16                                  // data messages are padded to a multiple of it,
	dataWhole = 576 + sealed.DataMinSize            // … but not beyond the inner MTU, so longer messages may have any length
	callLeast = len(sealed.CallMagic) + 8 + 24 + 16 // the shortest callme: magic, hint, nonce and tag
)

// ClassOf classifies a packet by its first bytes and its length.
func ClassOf(p []byte) Class {
	switch t := sealed.Type(p); {
	case len(p) > MaxPacket:
		return NotSealed
	case t == sealed.Data && (len(p)%dataStep == 0 || len(p) >= dataWhole):
		return Data
	case t != 0 && t != sealed.Data, sealed.IsCall(p) && len(p) >= callLeast:
		return Handshake
	}
	return NotSealed
}
