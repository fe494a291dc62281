package relay

import (
	"bytes"
	"encoding/binary"
)

// ProbeMagic begins every path probe (package tunnel/disco): no WireGuard message
// and no STUN message begins like it.
const ProbeMagic = "\x9enexdP\x01\xd7"

// Class is what a packet looks like from outside. Nobody but its receiver can tell
// whether it is.
type Class uint8

// Classes of packets.
const (
	NotSealed Class = iota // nothing a relay carries
	Data                   // a WireGuard data message
	Handshake              // a WireGuard handshake or cookie message, or a path probe
)

// Lengths of WireGuard's messages, from its paper: initiation, response, cookie,
// and the least and the granularity of data.
const (
	initiationSize = 148
	responseSize   = 92
	cookieSize     = 64
	dataLeast      = 32
	dataStep       = 16
	probeLeast     = len(ProbeMagic) + 8 + 24 + 16 // magic, who, nonce and tag: no probe is shorter
)

// ClassOf tells sealed packets from others by their first bytes and their length.
func ClassOf(p []byte) Class {
	if len(p) < dataLeast || len(p) > MaxPacket {
		return NotSealed
	}
	if bytes.HasPrefix(p, []byte(ProbeMagic)) && len(p) >= probeLeast {
		return Handshake
	}
	switch kind := binary.LittleEndian.Uint32(p); {
	case kind == 1 && len(p) == initiationSize, kind == 2 && len(p) == responseSize, kind == 3 && len(p) == cookieSize:
		return Handshake
	case kind == 4 && len(p)%dataStep == 0:
		return Data
	}
	return NotSealed
}
