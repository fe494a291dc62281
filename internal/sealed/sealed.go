// Package sealed classifies the encrypted packets of the mesh: WireGuard's messages and
// path probes. The data socket and the relay use it. It decrypts nothing, so only the
// receiver of a packet can tell whether the packet is what it looks like.
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

// CallMagic starts every callme of package tunnel/disco. No message of WireGuard or STUN
// starts like it. (Pings and pongs of tunnel/disco look like WireGuard's messages.)
const CallMagic = "\x9enexdP\x01\xd7"

// Type returns the type of a WireGuard message, or 0 if the length does not match.
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

// IsCall reports whether a packet starts like a callme.
func IsCall(packet []byte) bool { return bytes.HasPrefix(packet, []byte(CallMagic)) }
