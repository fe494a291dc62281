package router

import (
	"bytes"
	"encoding/binary"
)

// ICMP echo, RFC 792 and RFC 4443: type, code, checksum, identifier, sequence.
const (
	echoHeader  = 8
	echoAsk4    = 8
	echoAnswer4 = 0
	echoAsk6    = 128
	echoAnswer6 = 129
)

// echoMessage returns the echo request as bytes. The kernel fills in the identifier, and the
// checksum of IPv6.
func echoMessage(p probe) []byte {
	m := make([]byte, echoHeader, echoHeader+len(p.payload))
	m[0] = echoAsk4
	if p.target.Is6() {
		m[0] = echoAsk6
	}
	binary.BigEndian.PutUint16(m[6:], p.seq)
	m = append(m, p.payload...)
	if p.target.Is4() {
		binary.BigEndian.PutUint16(m[2:], checksum(m))
	}
	return m
}

// answers reports whether a message is the echo reply to p. Some systems also deliver the IPv4
// header, and the replies to other programs.
func answers(m []byte, p probe) bool {
	want := byte(echoAnswer4)
	if p.target.Is6() {
		want = echoAnswer6
	} else if len(m) > 20 && m[0]>>4 == 4 && m[9] == 1 { // version 4, protocol ICMP: no ICMP type is 69
		m = m[min(int(m[0]&15)*4, len(m)):]
	}
	return len(m) >= echoHeader && m[0] == want && m[1] == 0 &&
		binary.BigEndian.Uint16(m[6:]) == p.seq && bytes.Equal(m[echoHeader:], p.payload)
}

// checksum returns the Internet checksum of RFC 1071.
func checksum(b []byte) uint16 {
	var sum uint32
	for ; len(b) > 1; b = b[2:] {
		sum += uint32(b[0])<<8 | uint32(b[1])
	}
	if len(b) == 1 {
		sum += uint32(b[0]) << 8
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}
