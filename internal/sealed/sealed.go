// Package sealed knows the packets of the mesh from outside: the messages of
// WireGuard and the path probes. What the data socket takes and what the relay
// carries is told apart by it. It opens nothing: whether a packet is what it looks
// like only its receiver can tell.
package sealed

import (
	"bytes"
	"encoding/binary"
)

// Types of WireGuard's messages: one byte and three zeros, little endian.
const (
	Initiation = 1
	Response   = 2
	Cookie     = 3
	Data       = 4
)

// Lengths of WireGuard's messages; a data message is at least a keepalive.
const (
	InitiationSize = 148
	ResponseSize   = 92
	CookieSize     = 64
	DataMinSize    = 32
)

// CallMagic begins every callme of package tunnel/disco, whose pings and pongs look
// like messages of WireGuard: no such message and none of STUN begins like it.
const CallMagic = "\x9enexdP\x01\xd7"

// Type is the type of a WireGuard message, 0 if it is none by its length.
func Type(msg []byte) uint32 {
	if len(msg) < DataMinSize {
		return 0
	}
	t := binary.LittleEndian.Uint32(msg)
	switch {
	case t == Data,
		t == Initiation && len(msg) == InitiationSize,
		t == Response && len(msg) == ResponseSize,
		t == Cookie && len(msg) == CookieSize:
		return t
	}
	return 0
}

// IsCall says whether a packet claims to be a callme.
func IsCall(packet []byte) bool { return bytes.HasPrefix(packet, []byte(CallMagic)) }
