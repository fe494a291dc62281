package stun

import (
	"encoding/binary"

	"nexd/mesh"
)

// Change is the source that a request wants for its response (CHANGE-REQUEST, RFC 5780,
// section 7.2). The arrival of that response shows what the NAT's filter admits.
type Change uint8

// The values of a Change. Asked alone wants the response from the request's destination,
// with the server's other address, if it has one. A server that responds to it supports
// Change.
const (
	Asked      Change = 1 << 0
	ChangePort Change = 1 << 1
	ChangeAddr Change = 1 << 2
)

// AppendProbe appends a binding request of size bytes, a multiple of 4 and at least
// ProbeSize, with a Change if that is not 0. Zeros (PADDING of RFC 5780) fill it up, so
// a large request tests the path's MTU.
func AppendProbe(b []byte, id TxID, change Change, size int) []byte {
	size = min(max(size, ProbeSize), MaxSize) &^ 3
	start := len(b)
	b = appendHeader(b, typeRequest, size-HeaderSize, id)
	if change != 0 {
		b = binary.BigEndian.AppendUint32(appendAttr(b, attrChange, 4), uint32(change&(ChangePort|ChangeAddr)))
	}
	left := size - (len(b) - start) - 4
	b = appendAttr(b, attrPadding, left)
	return append(b, make([]byte, left)...)
}

// ProbeSize is the length of a request that is as long as its longest response.
const ProbeSize = MaxResponse + 24 // the other address, too

func parseChange(v []byte) (Change, error) {
	if len(v) != 4 {
		return 0, mesh.Errorf(mesh.Invalid, "stun: change request of %d bytes", len(v))
	}
	return Asked | Change(binary.BigEndian.Uint32(v))&(ChangePort|ChangeAddr), nil
}
