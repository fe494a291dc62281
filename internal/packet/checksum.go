package packet

import (
	"encoding/binary"
	"math/bits"
)

// Sum returns the ones' complement sum of b (RFC 1071) added to initial, another such sum
// over an even number of bytes. The sum of a header with a correct checksum is 0xffff. To
// compute a checksum, take ^Sum with zero in the checksum field.
func Sum(b []byte, initial uint16) uint16 {
	// The sum does not depend on byte order if it is swapped at the end, so this reads
	// eight bytes at a time in the machine's order.
	acc, carry := uint64(bits.ReverseBytes16(initial)), uint64(0)
	for len(b) >= 64 {
		acc, carry = bits.Add64(acc, binary.LittleEndian.Uint64(b), 0)
		acc, carry = bits.Add64(acc, binary.LittleEndian.Uint64(b[8:]), carry)
		acc, carry = bits.Add64(acc, binary.LittleEndian.Uint64(b[16:]), carry)
		acc, carry = bits.Add64(acc, binary.LittleEndian.Uint64(b[24:]), carry)
		acc, carry = bits.Add64(acc, binary.LittleEndian.Uint64(b[32:]), carry)
		acc, carry = bits.Add64(acc, binary.LittleEndian.Uint64(b[40:]), carry)
		acc, carry = bits.Add64(acc, binary.LittleEndian.Uint64(b[48:]), carry)
		acc, carry = bits.Add64(acc, binary.LittleEndian.Uint64(b[56:]), carry)
		acc, carry = bits.Add64(acc, 0, carry)
		acc += carry
		b = b[64:]
	}
	for len(b) >= 8 {
		acc, carry = bits.Add64(acc, binary.LittleEndian.Uint64(b), 0)
		acc += carry
		b = b[8:]
	}
	var tail uint64
	if len(b) >= 4 {
		tail = uint64(binary.LittleEndian.Uint32(b))
		b = b[4:]
	}
	acc, carry = bits.Add64(acc, tail, 0)
	acc += carry
	tail = 0
	for i, c := range b {
		tail |= uint64(c) << (8 * i)
	}
	acc, carry = bits.Add64(acc, tail, 0)
	acc += carry
	return bits.ReverseBytes16(fold(acc))
}

// Combine adds two sums, each over an even number of bytes.
func Combine(a, b uint16) uint16 { return fold(uint64(a) + uint64(b)) }

// PseudoHeader returns the sum over the pseudo header of TCP, UDP or ICMPv6. addresses
// holds source and destination, 8 or 32 bytes.
func PseudoHeader(addresses []byte, proto uint8, length int) uint16 {
	return fold(uint64(Sum(addresses, 0)) + uint64(proto) + uint64(length>>16) + uint64(length&0xffff))
}

// Update returns the checksum of a header after one 16-bit word has changed from old to
// now (RFC 1624, equation 3), without reading the rest of the header.
func Update(checksum, old, now uint16) uint16 {
	return ^fold(uint64(^checksum) + uint64(^old) + uint64(now))
}

func fold(acc uint64) uint16 {
	acc = acc>>32 + acc&0xffffffff
	acc = acc>>32 + acc&0xffffffff
	acc = acc>>16 + acc&0xffff
	acc = acc>>16 + acc&0xffff
	acc = acc>>16 + acc&0xffff
	return uint16(acc)
}
