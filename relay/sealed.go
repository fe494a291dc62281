package relay

import "nexd/internal/sealed"

// Class is what a packet looks like from outside. Nobody but its receiver can tell
// whether it is.
type Class uint8

// Classes of packets.
const (
	NotSealed Class = iota // nothing a relay carries
	Data                   // a WireGuard data message
	Handshake              // a WireGuard handshake or cookie message, a ping that looks like one, or a callme
)

const (
	dataStep  = 16                                  // data messages are padded to it,
	dataWhole = 576 + sealed.DataMinSize            // … but no further than to the MTU inside; from here on it may be one
	callLeast = len(sealed.CallMagic) + 8 + 24 + 16 // magic, hint, nonce and tag: no callme is shorter
)

// ClassOf tells sealed packets from others by their first bytes and their length.
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
