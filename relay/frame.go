package relay

import (
	"encoding/binary"

	"nexd/mesh"
)

// Version is the version in each frame. A receiver ends the connection at any other version.
const Version = 1

// Subprotocol is the WebSocket subprotocol.
const Subprotocol = "nexd-relay-v1"

// Sizes in bytes.
const (
	HeaderSize = 4
	MaxPacket  = 9216                                  // of a packet that is carried: any WireGuard message of a network without giant frames
	MaxFrame   = HeaderSize + mesh.KeySize + MaxPacket // the longest frame there is
	MaxMessage = 16<<10 - 16                           // of frames in one WebSocket message, which with its own head is one record of TLS
	MaxToken   = 1024                                  // of a token's text
)

// Type is the type of a frame.
type Type uint8

// Types of frames. Unknown types are skipped, so that the protocol can grow.
const (
	TypeChallenge Type = 1
	TypeAuth      Type = 2
	TypeWelcome   Type = 3
	TypeData      Type = 4
	TypePing      Type = 5
	TypePong      Type = 6
	TypeRenew     Type = 7
	TypeBye       Type = 8
	TypeBind      Type = 9  // names a channel of the UDP carrier
	TypeBound     Type = 10 // the channel is known
)

// Reason is why a relay ends a connection.
type Reason uint8

// Reasons to end a connection.
const (
	ByeStopping Reason = 1 // the relay stops; come back soon
	ByeReplaced Reason = 2 // another connection of the same key took over
	ByeDenied   Reason = 3 // token or proof do not hold
	ByeExpired  Reason = 4 // the token has ended without being renewed
	ByeProtocol Reason = 5 // what came is not this protocol
	ByeFull     Reason = 6 // the relay has no room
)

// String returns the reason in one word.
func (r Reason) String() string {
	names := [...]string{"?", "stopping", "replaced", "denied", "expired", "protocol", "full"}
	if int(r) < len(names) {
		return names[r]
	}
	return names[0]
}

// AppendFrame appends a frame whose body is the concatenation of the parts. The parts together must
// not be longer than MaxFrame-HeaderSize.
func AppendFrame(b []byte, t Type, parts ...[]byte) []byte {
	size := 0
	for _, p := range parts {
		size += len(p)
	}
	b = append(b, Version, byte(t), byte(size>>8), byte(size))
	for _, p := range parts {
		b = append(b, p...)
	}
	return b
}

// AppendData appends a data frame. The peer is the receiver on the way to the relay, and the sender
// on the way from it.
func AppendData(b []byte, peer mesh.Key, packet []byte) []byte {
	size := mesh.KeySize + len(packet)
	b = append(b, Version, byte(TypeData), byte(size>>8), byte(size))
	return append(append(b, peer[:]...), packet...)
}

// NextFrame splits the first frame off a message. The body is a slice of b.
func NextFrame(b []byte) (t Type, body, rest []byte, err error) {
	if len(b) < HeaderSize {
		return 0, nil, nil, mesh.Errorf(mesh.Invalid, "relay: %d bytes that are no frame", len(b))
	}
	if b[0] != Version {
		return 0, nil, nil, mesh.Errorf(mesh.Invalid, "relay: frame of version %d; this is version %d", b[0], Version)
	}
	size := int(binary.BigEndian.Uint16(b[2:]))
	if size > MaxFrame-HeaderSize || size > len(b)-HeaderSize {
		return 0, nil, nil, mesh.Errorf(mesh.Invalid, "relay: frame of %d bytes; %d are there and %d allowed", size, len(b)-HeaderSize, MaxFrame-HeaderSize)
	}
	return Type(b[1]), b[HeaderSize : HeaderSize+size], b[HeaderSize+size:], nil
}

// EachFrame calls see with every frame of a message, until one call fails.
func EachFrame(msg []byte, see func(t Type, body []byte) error) error {
	for len(msg) > 0 {
		t, body, rest, err := NextFrame(msg)
		if err != nil {
			return err
		}
		if err := see(t, body); err != nil {
			return err
		}
		msg = rest
	}
	return nil
}

// ParseData reads the body of a data frame. The packet is a slice of body.
func ParseData(body []byte) (peer mesh.Key, packet []byte, err error) {
	if len(body) <= mesh.KeySize {
		return mesh.Key{}, nil, mesh.Errorf(mesh.Invalid, "relay: data of %d bytes holds no packet", len(body))
	}
	return mesh.Key(body[:mesh.KeySize]), body[mesh.KeySize:], nil
}

// AppendBye appends a bye frame. The text is for people.
func AppendBye(b []byte, r Reason, text string) []byte {
	return AppendFrame(b, TypeBye, []byte{byte(r)}, []byte(text[:min(len(text), 200)]))
}

// ParseBye reads the body of a bye frame.
func ParseBye(body []byte) (r Reason, text string) {
	if len(body) == 0 {
		return 0, ""
	}
	return Reason(body[0]), string(body[1:min(len(body), 201)])
}
