package gateway

import (
	"net/netip"

	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"nexd/internal/lpm"
)

// match is a rule's expressions, in order.
type match []expr.Any

func join(parts ...match) (out match) {
	for _, p := range parts {
		out = append(out, p...)
	}
	return out
}

// from and to match the incoming and the outgoing interface.
func from(iface string) match { return ifname(expr.MetaKeyIIFNAME, iface, expr.CmpOpEq) }
func to(iface string) match   { return ifname(expr.MetaKeyOIFNAME, iface, expr.CmpOpEq) }

func ifname(key expr.MetaKey, iface string, op expr.CmpOp) match {
	return match{
		&expr.Meta{Key: key, Register: 1},
		&expr.Cmp{Op: op, Register: 1, Data: append([]byte(iface), 0)},
	}
}

// source and destination match a prefix. family means that the table is for both families,
// so the packet's family must be matched first.
func source(p netip.Prefix, family bool) match      { return address(p, family, 12, 8) }
func destination(p netip.Prefix, family bool) match { return address(p, family, 16, 24) }

func address(p netip.Prefix, family bool, four, six uint32) (m match) {
	if family {
		m = append(m, &expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1}, &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{nfproto(p)}})
	}
	net := p.Addr().AsSlice()
	offset := four
	if p.Addr().Is6() {
		offset = six
	}
	m = append(m, &expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: uint32(len(net))})
	if p.Bits() < 8*len(net) {
		m = append(m, &expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: uint32(len(net)), Mask: mask(p), Xor: make([]byte, len(net))})
	}
	return append(m, &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: net})
}

func nfproto(p netip.Prefix) byte {
	if p.Addr().Is4() {
		return unix.NFPROTO_IPV4
	}
	return unix.NFPROTO_IPV6
}

func mask(p netip.Prefix) []byte {
	m := make([]byte, len(p.Addr().AsSlice()))
	for i := range p.Bits() {
		m[i/8] |= 0x80 >> (i % 8)
	}
	return m
}

// ownOnArrival matches addresses of the incoming interface.
func ownOnArrival() match {
	return match{
		&expr.Fib{Register: 1, ResultADDRTYPE: true, FlagDADDR: true, FlagIIF: true},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: binaryutil.NativeEndian.PutUint32(unix.RTN_LOCAL)},
	}
}

// multicast matches multicast destinations, which are not forwarded.
func multicast() match {
	return match{
		&expr.Fib{Register: 1, ResultADDRTYPE: true, FlagDADDR: true},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: binaryutil.NativeEndian.PutUint32(unix.RTN_MULTICAST)},
	}
}

// known matches packets of established connections, and related errors.
func known() match {
	return bitsOf(expr.CtKeySTATE, expr.CtStateBitESTABLISHED|expr.CtStateBitRELATED)
}

// redirected matches packets with a rewritten destination.
func redirected() match {
	const dnat = 1 << 5 // IPS_DST_NAT
	return bitsOf(expr.CtKeySTATUS, dnat)
}

func bitsOf(key expr.CtKey, bits uint32) match {
	return match{
		&expr.Ct{Key: key, Register: 1},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: binaryutil.NativeEndian.PutUint32(bits), Xor: make([]byte, 4)},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: make([]byte, 4)},
	}
}

// clamp clamps the MSS in a SYN to the route's MTU; the kernel never raises it.
func clamp() match {
	const syn, synRst, flags, mss, value = 0x02, 0x06, 13, 2, 2
	return match{
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{unix.IPPROTO_TCP}},
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: flags, Len: 1},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 1, Mask: []byte{synRst}, Xor: []byte{0}},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{syn}},
		&expr.Rt{Register: 1, Key: expr.RtTCPMSS},
		&expr.Byteorder{SourceRegister: 1, DestRegister: 1, Op: expr.ByteorderHton, Len: 2, Size: 2},
		&expr.Exthdr{SourceRegister: 1, Type: mss, Offset: value, Len: 2, Op: expr.ExthdrOpTcpopt},
	}
}

// rewrite maps addresses one to one into a prefix.
func rewrite(kind expr.NATType, into netip.Prefix) match {
	return match{
		&expr.Immediate{Register: 1, Data: into.Addr().AsSlice()},
		&expr.Immediate{Register: 2, Data: lpm.Last(into).AsSlice()},
		&expr.NAT{Type: kind, Family: uint32(nfproto(into)), RegAddrMin: 1, RegAddrMax: 2, Prefix: true},
	}
}

func masquerade() match { return match{&expr.Masq{}} }
func accept() match     { return match{&expr.Verdict{Kind: expr.VerdictAccept}} }
func drop() match       { return match{&expr.Counter{}, &expr.Verdict{Kind: expr.VerdictDrop}} }
