package stun

import (
	"crypto/rand"
	"encoding/binary"
	"hash/crc32"
	"net/netip"

	"nexd/mesh"
)

// Sizes of messages, in bytes.
const (
	HeaderSize  = 20
	RequestSize = HeaderSize + 4 + len(padding) // of what AppendRequest makes
	MaxResponse = HeaderSize + 24 + 8           // of a response with an IPv6 address and a fingerprint
	MaxSize     = 1472                          // what fits into an Ethernet packet over IPv4: a request can be padded to measure a path
)

const (
	cookie          = 0x2112A442
	typeRequest     = 0x0001
	typeResponse    = 0x0101
	attrMapped      = 0x0001
	attrChange      = 0x0003 // RFC 5780, as the next
	attrXORMapped   = 0x0020
	attrPadding     = 0x0026
	attrSoftware    = 0x8022
	attrFingerprint = 0x8028
	attrOther       = 0x802c // RFC 5780
	fingerprintXOR  = 0x5354554e
	familyIPv4      = 1
	familyIPv6      = 2
)

// padding is the SOFTWARE attribute of AppendRequest. Its length makes the request as
// long as a response with an IPv6 address.
const padding = "nexd, as long as the answer."

// TxID is the transaction ID of a request and its response.
type TxID [12]byte

// NewTxID returns a random transaction ID, which nobody off the path can guess.
func NewTxID() (id TxID) {
	rand.Read(id[:]) // never returns an error
	return id
}

// Request is a binding request.
type Request struct {
	ID          TxID
	Fingerprint bool   // it has a correct one
	Change      Change // the requested source of the response; 0 = none
}

// Response is a binding success response.
type Response struct {
	ID     TxID
	Mapped netip.AddrPort // the request's source as the server saw it; never IPv4-mapped
	Other  netip.AddrPort // another address of the server; invalid = none, or not requested
}

// Is reports whether a packet has the header of a STUN message. It is cheap; Parse… may
// still refuse the packet.
func Is(b []byte) bool {
	return len(b) >= HeaderSize && b[0]&0xc0 == 0 && binary.BigEndian.Uint32(b[4:]) == cookie &&
		int(binary.BigEndian.Uint16(b[2:])) == len(b)-HeaderSize
}

// AppendRequest appends a plain binding request to b.
func AppendRequest(b []byte, id TxID) []byte {
	b = appendHeader(b, typeRequest, 4+len(padding), id)
	b = appendAttr(b, attrSoftware, len(padding))
	return append(b, padding...)
}

// Append appends the response to b. A fingerprint takes 8 more bytes.
func (r Response) Append(b []byte, fingerprint bool) []byte {
	start := len(b)
	b = appendHeader(b, typeResponse, 0, r.ID)
	addr := r.Mapped.Addr().Unmap()
	b = appendAddr(b, attrXORMapped, xored(addr.AsSlice(), r.ID), r.Mapped.Port()^cookie>>16)
	if r.Other.IsValid() {
		b = appendAddr(b, attrOther, r.Other.Addr().Unmap().AsSlice(), r.Other.Port())
	}
	size := len(b) - start - HeaderSize
	if fingerprint {
		size += 8
	}
	binary.BigEndian.PutUint16(b[start+2:], uint16(size))
	if fingerprint {
		sum := crc32.ChecksumIEEE(b[start:]) ^ fingerprintXOR
		b = binary.BigEndian.AppendUint32(appendAttr(b, attrFingerprint, 4), sum)
	}
	return b
}

func appendAddr(b []byte, kind uint16, raw []byte, port uint16) []byte {
	family := byte(familyIPv4)
	if len(raw) == 16 {
		family = familyIPv6
	}
	b = append(appendAttr(b, kind, 4+len(raw)), 0, family)
	return append(binary.BigEndian.AppendUint16(b, port), raw...)
}

func appendHeader(b []byte, kind uint16, size int, id TxID) []byte {
	b = binary.BigEndian.AppendUint16(b, kind)
	b = binary.BigEndian.AppendUint16(b, uint16(size))
	b = binary.BigEndian.AppendUint32(b, cookie)
	return append(b, id[:]...)
}

func appendAttr(b []byte, kind uint16, size int) []byte {
	b = binary.BigEndian.AppendUint16(b, kind)
	return binary.BigEndian.AppendUint16(b, uint16(size))
}

// xored returns an address XORed with the cookie and the transaction ID, which prevents
// routers from rewriting it.
func xored(raw []byte, id TxID) []byte {
	var key [16]byte
	binary.BigEndian.PutUint32(key[:], cookie)
	copy(key[4:], id[:])
	out := make([]byte, len(raw))
	for i := range raw {
		out[i] = raw[i] ^ key[i]
	}
	return out
}

// ParseRequest reads a binding request. An unknown comprehension-required attribute is an
// error.
func ParseRequest(b []byte) (Request, error) {
	id, err := parseHeader(b, typeRequest)
	if err != nil {
		return Request{}, err
	}
	r := Request{ID: id}
	r.Fingerprint, err = eachAttr(b, func(kind uint16, value []byte) (err error) {
		switch {
		case kind == attrChange:
			r.Change, err = parseChange(value)
		case kind < 0x8000 && kind != attrPadding:
			err = mesh.Errorf(mesh.Invalid, "stun: request needs attribute %#04x understood", kind)
		}
		return err
	})
	if err != nil {
		return Request{}, err
	}
	return r, nil
}

// ParseResponse reads a binding success response. The caller compares its ID with that of
// a pending request.
func ParseResponse(b []byte) (Response, error) {
	id, err := parseHeader(b, typeResponse)
	if err != nil {
		return Response{}, err
	}
	r := Response{ID: id}
	_, err = eachAttr(b, func(kind uint16, value []byte) (err error) {
		switch {
		case kind == attrXORMapped && !r.Mapped.IsValid(): // the first one counts
			r.Mapped, err = parseAddr(value, func(raw []byte, port uint16) ([]byte, uint16) { return xored(raw, id), port ^ cookie>>16 })
		case kind == attrOther && !r.Other.IsValid():
			r.Other, err = parseAddr(value, func(raw []byte, port uint16) ([]byte, uint16) { return raw, port })
		case kind < 0x8000 && kind != attrMapped && kind != attrXORMapped && kind != attrPadding:
			err = mesh.Errorf(mesh.Invalid, "stun: response needs attribute %#04x understood", kind)
		}
		return err
	})
	switch {
	case err != nil:
		return Response{}, err
	case !r.Mapped.IsValid():
		return Response{}, mesh.Errorf(mesh.Invalid, "stun: response without an address")
	}
	return r, nil
}

func parseHeader(b []byte, kind uint16) (id TxID, err error) {
	switch {
	case !Is(b) || len(b)%4 != 0:
		return id, mesh.Errorf(mesh.Invalid, "stun: %d bytes that are no STUN message", len(b))
	case len(b) > MaxSize:
		return id, mesh.Errorf(mesh.Invalid, "stun: message of %d bytes; at most %d", len(b), MaxSize)
	case binary.BigEndian.Uint16(b) != kind:
		return id, mesh.Errorf(mesh.Invalid, "stun: message of type %#04x instead of %#04x", binary.BigEndian.Uint16(b), kind)
	}
	return TxID(b[8:HeaderSize]), nil
}

// eachAttr calls see for every attribute, and reports whether a correct FINGERPRINT ends
// the message. A wrong one is an error.
func eachAttr(b []byte, see func(kind uint16, value []byte) error) (fingerprint bool, err error) {
	for at := HeaderSize; at < len(b); {
		if fingerprint || len(b)-at < 4 {
			return false, mesh.Errorf(mesh.Invalid, "stun: bytes behind the last attribute")
		}
		kind, size := binary.BigEndian.Uint16(b[at:]), int(binary.BigEndian.Uint16(b[at+2:]))
		if size > len(b)-at-4 {
			return false, mesh.Errorf(mesh.Invalid, "stun: attribute %#04x of %d bytes does not fit", kind, size)
		}
		value := b[at+4 : at+4+size]
		if kind == attrFingerprint {
			if size != 4 || binary.BigEndian.Uint32(value) != crc32.ChecksumIEEE(b[:at])^fingerprintXOR {
				return false, mesh.Errorf(mesh.Invalid, "stun: wrong fingerprint")
			}
			fingerprint = true
		} else if err := see(kind, value); err != nil {
			return false, err
		}
		at += 4 + (size+3)&^3
	}
	return fingerprint, nil
}

// parseAddr reads the value of an address attribute; plain reverses the encoding of the
// address.
func parseAddr(v []byte, plain func(raw []byte, port uint16) ([]byte, uint16)) (netip.AddrPort, error) {
	want := map[byte]int{familyIPv4: 8, familyIPv6: 20}
	if len(v) < 8 || want[v[1]] != len(v) {
		return netip.AddrPort{}, mesh.Errorf(mesh.Invalid, "stun: address %x is neither IPv4 nor IPv6", v)
	}
	raw, port := plain(v[4:], binary.BigEndian.Uint16(v[2:]))
	addr, _ := netip.AddrFromSlice(raw)
	if addr.Is4In6() || addr.IsUnspecified() || addr.IsMulticast() || port == 0 {
		return netip.AddrPort{}, mesh.Errorf(mesh.Invalid, "stun: %v cannot be an address", netip.AddrPortFrom(addr, port))
	}
	return netip.AddrPortFrom(addr, port), nil
}
