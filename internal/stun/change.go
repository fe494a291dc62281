package stun

import (
	"encoding/binary"

	"nexd/mesh"
)

// Change is where a request wants its answer from (CHANGE-REQUEST, RFC 5780,
// section 7.2): whether such an answer arrives shows whom a NAT lets in.
type Change uint8

// What a Change may hold. Asked alone wants the answer from where the request
// went, and to be told the server's other address, if it has one: a server that
// answers it knows what a Change is.
const (
	Asked      Change = 1 << 0
	ChangePort Change = 1 << 1
	ChangeAddr Change = 1 << 2
)

// AppendProbe appends a binding request of size bytes, in steps of 4 and at least
// ProbeSize, with a Change if that is not 0. The filling is zeros (PADDING of
// RFC 5780), so that a long one shows what a path carries.
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

// ProbeSize is the length of a request that is no shorter than its longest answer.
const ProbeSize = MaxResponse + 24 // the other address, too

func parseChange(v []byte) (Change, error) {
	if len(v) != 4 {
		return 0, mesh.Errorf(mesh.Invalid, "stun: change request of %d bytes", len(v))
	}
	return Asked | Change(binary.BigEndian.Uint32(v))&(ChangePort|ChangeAddr), nil
}
