package fit_test

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"os"
	"slices"
	"testing"
	"time"

	"golang.zx2c4.com/wireguard/tun"

	"nexd/internal/packet"
	"nexd/tunnel/fit"
)

const offset = 16 // where WireGuard puts the packet in its buffers

// fakeTUN returns batches of packets and keeps what is written to it.
type fakeTUN struct {
	tun.Device // panics on what a Device must not call
	batches    [][][]byte
	got        [][]byte
}

func (f *fakeTUN) Read(bufs [][]byte, sizes []int, offset int) (int, error) {
	if len(f.batches) == 0 {
		return 0, os.ErrClosed
	}
	batch := f.batches[0]
	if f.batches = f.batches[1:]; len(batch) > len(bufs) {
		f.batches, batch = append([][][]byte{batch[len(bufs):]}, f.batches...), batch[:len(bufs)]
	}
	for i, b := range batch {
		sizes[i] = copy(bufs[i][offset:], b)
	}
	return len(batch), nil
}

func (f *fakeTUN) Write(bufs [][]byte, offset int) (int, error) {
	for _, b := range bufs {
		f.got = append(f.got, bytes.Clone(b[offset:]))
	}
	return len(bufs), nil
}

var (
	here4, here6   = netip.MustParseAddr("100.64.0.1"), netip.MustParseAddr("fd00::1")
	there4, there6 = netip.MustParseAddr("100.64.0.2"), netip.MustParseAddr("fd00::2")
	wide4          = netip.MustParseAddr("100.64.0.3")
)

// ip makes an IP packet with right header checksum. extra are IPv4 options or IPv6 extension headers,
// of which the last names proto.
func ip(src, dst netip.Addr, proto uint8, df bool, extra, payload []byte) []byte {
	var b []byte
	if src.Is4() {
		b = make([]byte, packet.IPv4HeaderLen)
		b[0], b[8], b[9] = byte(0x45+len(extra)/4), 64, proto
		binary.BigEndian.PutUint16(b[4:], 0x4242)
		if df {
			b[6] = 0x40
		}
		copy(b[12:], src.AsSlice())
		copy(b[16:], dst.AsSlice())
		b = append(b, extra...)
		binary.BigEndian.PutUint16(b[2:], uint16(len(b)+len(payload)))
		binary.BigEndian.PutUint16(b[10:], ^packet.Sum(b, 0))
		return append(b, payload...)
	}
	b = make([]byte, packet.IPv6HeaderLen)
	b[0], b[6], b[7] = 0x60, proto, 64
	copy(b[8:], src.AsSlice())
	copy(b[24:], dst.AsSlice())
	if len(extra) > 0 {
		b[6] = 0 // hop-by-hop
	}
	b = append(append(b, extra...), payload...)
	binary.BigEndian.PutUint16(b[4:], uint16(len(b)-packet.IPv6HeaderLen))
	return b
}

// udp makes a packet of the given size.
func udp(src, dst netip.Addr, df bool, size int, extra ...byte) []byte {
	header := packet.IPv4HeaderLen
	if src.Is6() {
		header = packet.IPv6HeaderLen
	}
	body := make([]byte, size-header-len(extra))
	for i := range body {
		body[i] = byte(i * 7)
	}
	binary.BigEndian.PutUint16(body[0:], 1234)
	binary.BigEndian.PutUint16(body[2:], 53)
	binary.BigEndian.PutUint16(body[4:], uint16(len(body)))
	body[6], body[7] = 0, 0
	b := ip(src, dst, packet.ProtoUDP, df, extra, body)
	p, _ := packet.ParseIP(b)
	binary.BigEndian.PutUint16(b[p.HeaderLen()+6:], ^packet.Sum(p.Payload(), packet.PseudoHeader(p.Addresses(), packet.ProtoUDP, len(body))))
	return b
}

// segment makes a TCP packet.
func segment(src, dst netip.Addr, flags byte, options []byte, data int) []byte {
	body := make([]byte, packet.TCPHeaderLen+len(options)+data)
	binary.BigEndian.PutUint16(body[0:], 4000)
	binary.BigEndian.PutUint16(body[2:], 80)
	body[12], body[13] = byte((packet.TCPHeaderLen+len(options))/4)<<4, flags
	copy(body[packet.TCPHeaderLen:], options)
	addresses := append(src.AsSlice(), dst.AsSlice()...)
	binary.BigEndian.PutUint16(body[16:], ^packet.Sum(body, packet.PseudoHeader(addresses, packet.ProtoTCP, len(body))))
	return ip(src, dst, packet.ProtoTCP, true, nil, body)
}

func mss(value uint16) []byte { return []byte{2, 4, byte(value >> 8), byte(value)} }

func paths(sizes []fit.Size) *fit.Sizes {
	s := new(fit.Sizes)
	s.Set(sizes)
	return s
}

func narrow(largest int) []fit.Size {
	return []fit.Size{
		{Prefix: netip.MustParsePrefix("100.64.0.2/32"), Largest: largest}, {Prefix: netip.MustParsePrefix("fd00::2/128"), Largest: largest},
		{Prefix: netip.MustParsePrefix("172.24.0.0/16"), Largest: largest}, {Prefix: netip.MustParsePrefix("172.24.9.0/24")},
	}
}

// pass reads everything that a Device makes of one batch; room is the number of buffers.
func pass(t testing.TB, source bool, largest, room int, batch ...[]byte) (out, answers [][]byte) {
	inner := &fakeTUN{batches: [][][]byte{batch}}
	now := time.Unix(0, 0)
	d := fit.New(inner, paths(narrow(largest)), fit.Config{Source: source, Now: func() time.Time { return now }})
	bufs, sizes := make([][]byte, room), make([]int, room)
	for i := range bufs {
		bufs[i] = make([]byte, offset+65535)
	}
	places := slices.Clone(bufs)
	for {
		n, err := d.Read(bufs, sizes, offset)
		for i := range n {
			if &bufs[i][0] != &places[i][0] {
				t.Fatal("Read moved WireGuard's buffers")
			}
			out = append(out, bytes.Clone(bufs[i][offset:offset+sizes[i]]))
		}
		if err != nil {
			return out, inner.got
		}
	}
}

// join reassembles the fragments of one packet, and fails on any that is not right.
func join(t testing.TB, fragments [][]byte, largest int) []byte {
	t.Helper()
	var body []byte
	var head []byte
	for i, f := range fragments {
		p, err := packet.ParseIP(f)
		last := i == len(fragments)-1
		switch {
		case err != nil || p.Len() != len(f) || !p.HeaderChecksumOK():
			t.Fatalf("fragment %d: %v, %d of %d bytes, checksum %v", i, err, p.Len(), len(f), p.HeaderChecksumOK())
		case len(f) > largest:
			t.Fatalf("fragment %d has %d bytes, more than %d", i, len(f), largest)
		case p.FragmentOffset() != len(body) || !last && len(p.Payload())%8 != 0:
			t.Fatalf("fragment %d at %d, want %d", i, p.FragmentOffset(), len(body))
		}
		more := p.Is4() && f[6]&0x20 != 0 || !p.Is4() && f[p.HeaderLen()-8+3]&1 != 0
		if more == last {
			t.Fatalf("fragment %d of %d: more = %v", i, len(fragments), more)
		}
		if i == 0 {
			head = bytes.Clone(f[:p.HeaderLen()])
		} else if p.Is4() && !bytes.Equal(f[4:6], head[4:6]) || !p.Is4() && !bytes.Equal(f[p.HeaderLen()-4:p.HeaderLen()], head[len(head)-4:]) {
			t.Fatalf("fragment %d has another ID", i)
		}
		body = append(body, p.Payload()...)
	}
	if head[0]>>4 == 4 {
		head[6], head[7] = 0, 0
		binary.BigEndian.PutUint16(head[2:], uint16(len(head)+len(body)))
		clear(head[10:12])
		binary.BigEndian.PutUint16(head[10:], ^packet.Sum(head, 0))
		return append(head, body...)
	}
	next := head[len(head)-8]
	head = head[:len(head)-8]
	head[6] = next
	if len(head) > packet.IPv6HeaderLen { // the tests use one hop-by-hop header
		head[6], head[packet.IPv6HeaderLen] = 0, next
	}
	binary.BigEndian.PutUint16(head[4:], uint16(len(head)-packet.IPv6HeaderLen+len(body)))
	return append(head, body...)
}

// TestWhatFitsPasses has packets that fit their path, or whose path has no limit.
func TestWhatFitsPasses(t *testing.T) {
	batch := [][]byte{
		udp(here4, there4, true, 1300), udp(here6, there6, false, 1300), udp(here4, wide4, true, 1420),
		udp(here4, netip.MustParseAddr("172.24.9.1"), true, 1420), {0x45}, {},
	}
	out, answers := pass(t, false, 1300, 8, batch...)
	if len(out) != len(batch) || len(answers) > 0 {
		t.Fatalf("%d of %d passed, %d answers", len(out), len(batch), len(answers))
	}
	for i := range out {
		if !bytes.Equal(out[i], batch[i]) {
			t.Errorf("packet %d changed", i)
		}
	}
}

// TestIPv4IsFragmented has packets that may be fragmented, options among them, and few buffers.
func TestIPv4IsFragmented(t *testing.T) {
	copied, once := []byte{0x94, 4, 0, 0}, []byte{0x44, 8, 5, 0, 0, 0, 0, 0}
	for name, tt := range map[string]struct {
		options []byte
		later   int // length of the later headers
	}{"plain": {nil, 20}, "options": {append(slices.Clone(once), copied...), 24}, "options of the first only": {once, 20}} {
		t.Run(name, func(t *testing.T) {
			small, big := udp(here4, wide4, false, 100), udp(here4, there4, false, 4000, tt.options...)
			out, answers := pass(t, false, 1300, 2, small, big)
			if len(answers) > 0 || len(out) != 5 || !bytes.Equal(out[0], small) {
				t.Fatalf("%d packets, %d answers", len(out), len(answers))
			}
			if got := join(t, out[1:], 1300); !bytes.Equal(got, big) {
				t.Error("the fragments are another packet")
			}
			if got := int(out[2][0]&0xf) * 4; got != tt.later {
				t.Errorf("the second fragment has a header of %d bytes, want %d", got, tt.later)
			}
		})
	}
}

// TestAFragmentIsFragmentedFurther has what netstack sends of a datagram of 8,000 bytes.
func TestAFragmentIsFragmentedFurther(t *testing.T) {
	for _, whole := range [][]byte{udp(here4, there4, false, 8000), udp(here6, there6, false, 8000)} {
		first, _ := pass(t, true, 1420, 8, whole)
		out, answers := pass(t, true, 1180, 3, first...)
		if len(answers) > 0 || len(first) != 6 || len(out) != 11 {
			t.Fatalf("%d fragments of %d, %d answers", len(out), len(first), len(answers))
		}
		if got := join(t, out, 1180); !bytes.Equal(got, whole) {
			t.Error("the fragments are another packet")
		}
	}
}

// TestOrderIsKept has small packets between large ones.
func TestOrderIsKept(t *testing.T) {
	var batch [][]byte
	for i := range 6 {
		b := udp(here4, there4, false, 1400-100*(i%2)*10)
		binary.BigEndian.PutUint16(b[4:], uint16(i))
		b[10], b[11] = 0, 0
		binary.BigEndian.PutUint16(b[10:], ^packet.Sum(b[:20], 0))
		batch = append(batch, b)
	}
	out, _ := pass(t, false, 1300, 4, batch...)
	var ids []uint16
	for _, b := range out {
		ids = append(ids, binary.BigEndian.Uint16(b[4:]))
	}
	if want := []uint16{0, 0, 1, 2, 2, 3, 4, 4, 5}; !slices.Equal(ids, want) {
		t.Errorf("order %v, want %v", ids, want)
	}
}

// TestTooBigIsAnswered has packets that may not be fragmented.
func TestTooBigIsAnswered(t *testing.T) {
	tests := []struct {
		name    string
		packet  []byte
		largest int
		mtu     int
	}{
		{"IPv4", udp(here4, there4, true, 1400), 1300, 1300},
		{"IPv4 below 1280", udp(here4, there4, true, 1200), 1140, 1140},
		{"IPv4 TCP", segment(here4, there4, packet.ACK, nil, 1380), 1300, 1300},
		{"IPv6", udp(here6, there6, false, 1400), 1300, 1300},
		{"IPv6 below 1280", udp(here6, there6, false, 1400), 1140, 1280},
		{"IPv6 TCP", segment(here6, there6, packet.ACK, nil, 1350), 1300, 1300},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			out, answers := pass(t, false, tt.largest, 4, tt.packet, udp(here4, wide4, false, 64))
			if len(out) != 1 || len(out[0]) != 64 || len(answers) != 1 {
				t.Fatalf("%d packets, %d answers", len(out), len(answers))
			}
			was, _ := packet.ParseIP(tt.packet)
			p, err := packet.ParseIP(answers[0])
			if err != nil || p.Len() != len(answers[0]) || !p.HeaderChecksumOK() || !p.TransportChecksumOK() {
				t.Fatalf("the answer is malformed: %v", err)
			}
			body, mtu := p.Payload(), 0
			switch {
			case p.Proto() == packet.ProtoICMP && body[0] == 3 && body[1] == 4 && p.Len() <= 576:
				mtu = int(binary.BigEndian.Uint16(body[6:]))
			case p.Proto() == packet.ProtoICMPv6 && body[0] == 2 && body[1] == 0 && p.Len() <= 1280:
				mtu = int(binary.BigEndian.Uint32(body[4:]))
			}
			if mtu != tt.mtu || p.Dst() != was.Src() || p.Src() != was.Dst() || !bytes.HasPrefix(tt.packet, body[8:]) || len(body) < 8+40 {
				t.Errorf("the answer says %d from %v to %v, want %d", mtu, p.Src(), p.Dst(), tt.mtu)
			}
		})
	}
}

// TestNoErrorAboutErrors has packets that RFC 1122 and RFC 4443 say not to answer.
func TestNoErrorAboutErrors(t *testing.T) {
	multicast := netip.MustParseAddr("224.0.0.9")
	unreachable := make([]byte, 1400)
	unreachable[0] = 3
	later := udp(here4, there4, true, 1400)
	later[7] = 9 // fragment offset
	for name, b := range map[string][]byte{
		"about an error":            ip(here4, there4, packet.ProtoICMP, true, nil, unreachable),
		"from a group":              udp(multicast, there4, true, 1400),
		"about a later fragment":    later,
		"about nobody's":            udp(netip.IPv4Unspecified(), there4, true, 1400),
		"about an error, ICMPv6":    ip(here6, there6, packet.ProtoICMPv6, false, nil, append([]byte{1}, unreachable...)),
		"from the loopback address": udp(netip.MustParseAddr("127.0.0.1"), there4, true, 1400),
	} {
		t.Run(name, func(t *testing.T) {
			if out, answers := pass(t, false, 1300, 2, b); len(out) > 0 || len(answers) > 0 {
				t.Errorf("%d packets, %d answers", len(out), len(answers))
			}
		})
	}
	ping := make([]byte, 1400)
	ping[0] = 8
	if _, answers := pass(t, false, 1300, 2, ip(here4, there4, packet.ProtoICMP, true, nil, ping)); len(answers) != 1 {
		t.Errorf("%d answers to an echo request", len(answers))
	}
}

// TestABurstGetsOneAnswer has the segments of one GSO packet, and many flows.
func TestABurstGetsOneAnswer(t *testing.T) {
	var burst, flows [][]byte
	for i := range 40 {
		burst = append(burst, segment(here4, there4, packet.ACK, nil, 1380))
		for k := range 5 {
			b := udp(here4, there4, true, 1400)
			binary.BigEndian.PutUint16(b[20:], uint16(i*5+k))
			flows = append(flows, b)
		}
	}
	if _, answers := pass(t, false, 1300, 64, burst...); len(answers) != 1 {
		t.Errorf("%d answers to a burst", len(answers))
	}
	if _, answers := pass(t, false, 1300, 256, flows...); len(answers) != 100 {
		t.Errorf("%d answers to 200 flows at once, want 100", len(answers))
	}
}

// TestIPv6UpTo1280IsFragmented has a path below IPv6's minimum MTU.
func TestIPv6UpTo1280IsFragmented(t *testing.T) {
	hop := []byte{packet.ProtoUDP, 0, 1, 4, 0, 0, 0, 0}
	for _, b := range [][]byte{udp(here6, there6, false, 1280), udp(here6, there6, false, 1200, hop...), segment(here6, there6, packet.ACK, nil, 1220)} {
		out, answers := pass(t, false, 1140, 4, b)
		if len(out) != 2 || len(answers) > 0 {
			t.Fatalf("%d packets, %d answers", len(out), len(answers))
		}
		if got := join(t, out, 1140); !bytes.Equal(got, b) {
			t.Error("the fragments are another packet")
		}
	}
}

// TestASourceFragmentsEverything has a stack in this process, which is never written to.
func TestASourceFragmentsEverything(t *testing.T) {
	df := udp(here4, there4, true, 1400)
	again := udp(here4, there4, true, 1400)
	out, answers := pass(t, true, 1300, 4, df, again, udp(here6, there6, false, 1400))
	if len(out) != 6 || len(answers) > 0 {
		t.Fatalf("%d packets, %d answers", len(out), len(answers))
	}
	for _, pair := range [][][]byte{out[:2], out[2:4], out[4:]} {
		join(t, pair, 1300)
	}
	if bytes.Equal(out[0][4:6], out[2][4:6]) || bytes.Equal(out[0][4:6], df[4:6]) {
		t.Error("packets without an ID got no ID of their own")
	}
}

// TestSYNsAreClamped has SYNs in both directions.
func TestSYNsAreClamped(t *testing.T) {
	options := append([]byte{1, 3, 3, 7}, mss(1380)...) // window scale before, at an odd place
	for _, tt := range []struct {
		name     string
		packet   []byte
		at, want int
	}{
		{"IPv4", segment(here4, there4, packet.SYN, mss(1380), 0), 42, 1260},
		{"SYN and ACK", segment(here4, there4, packet.SYN|packet.ACK, mss(1380), 0), 42, 1260},
		{"not the first option", segment(here4, there4, packet.SYN, options, 0), 46, 1260},
		{"at an odd place", segment(here4, there4, packet.SYN, append(append([]byte{1}, mss(1380)...), 1, 1, 1), 0), 43, 1260},
		{"IPv6", segment(here6, there6, packet.SYN, mss(1360), 0), 62, 1240},
		{"already small", segment(here4, there4, packet.SYN, mss(1000), 0), 42, 1000},
		{"no limit", segment(here4, wide4, packet.SYN, mss(1380), 0), 42, 1380},
		{"not a SYN", segment(here4, there4, packet.ACK, mss(1380), 0), 42, 1380},
		{"broken options", segment(here4, there4, packet.SYN, []byte{3, 0, 2, 4, 5, 0x64, 0, 0}, 0), 44, 1380},
	} {
		t.Run(tt.name, func(t *testing.T) {
			out, _ := pass(t, false, 1300, 1, bytes.Clone(tt.packet))
			back := bytes.Clone(tt.packet) // the same from the peer
			if back[0]>>4 == 4 {
				copy(back[12:], tt.packet[16:20])
				copy(back[16:], tt.packet[12:16])
			} else {
				copy(back[8:], tt.packet[24:40])
				copy(back[24:], tt.packet[8:24])
			}
			inner := new(fakeTUN)
			d := fit.New(inner, paths(narrow(1300)), fit.Config{})
			if n, err := d.Write([][]byte{append(make([]byte, offset), back...)}, offset); n != 1 || err != nil {
				t.Fatal(n, err)
			}
			for _, b := range [][]byte{out[0], inner.got[0]} {
				p, err := packet.ParseIP(b)
				if err != nil || !p.TransportChecksumOK() {
					t.Errorf("the checksum is wrong: %v", err)
				}
				if got := int(binary.BigEndian.Uint16(b[tt.at:])); got != tt.want {
					t.Errorf("MSS %d, want %d", got, tt.want)
				}
			}
		})
	}
}

// TestAClampLastsForLife has a path whose measurement has just begun.
func TestAClampLastsForLife(t *testing.T) {
	out, _ := pass(t, false, 128, 1, segment(here4, there4, packet.SYN, mss(1380), 0))
	if got := binary.BigEndian.Uint16(out[0][42:]); got != 536 {
		t.Errorf("MSS %d, want 536", got)
	}
}

// TestFits changes the sizes at work.
func TestFits(t *testing.T) {
	d := new(fit.Sizes)
	if got := d.Fits(there4); got != 0 {
		t.Errorf("before Set: %d", got)
	}
	d.Set(narrow(1300))
	for addr, want := range map[string]int{"100.64.0.2": 1300, "fd00::2": 1300, "172.24.1.1": 1300, "172.24.9.1": 0, "100.64.0.3": 0} {
		if got := d.Fits(netip.MustParseAddr(addr)); got != want {
			t.Errorf("Fits(%s) = %d, want %d", addr, got, want)
		}
	}
	d.Set(narrow(0))
	if got := d.Fits(there4); got != 0 {
		t.Errorf("after the limit is gone: %d", got)
	}
}

// FuzzRewriting has arbitrary packets. What comes out fits, and fragments are the packet.
func FuzzRewriting(f *testing.F) {
	f.Add(udp(here4, there4, false, 1400), uint16(1300), false)
	f.Add(udp(here4, there4, true, 1400), uint16(1300), true)
	f.Add(udp(here6, there6, false, 1280), uint16(1140), false)
	f.Add(udp(here6, there6, false, 1280, packet.ProtoUDP, 0, 1, 4, 0, 0, 0, 0), uint16(1140), true)
	f.Add(segment(here4, there4, packet.SYN, mss(1380), 0), uint16(1300), false)
	f.Add(segment(here6, there6, packet.SYN, mss(1380), 9), uint16(80), true)
	f.Fuzz(func(t *testing.T, b []byte, largest uint16, source bool) {
		if len(b) > 65535 {
			return
		}
		if len(b) >= packet.IPv4HeaderLen && b[0]>>4 == 4 {
			copy(b[16:], there4.AsSlice())
		} else if len(b) >= packet.IPv6HeaderLen && b[0]>>4 == 6 {
			copy(b[24:], there6.AsSlice())
		}
		was, err := packet.ParseIP(bytes.Clone(b))
		sound := err == nil && was.Len() == len(b) && was.TransportChecksumOK()
		out, answers := pass(t, source, int(largest), 3, bytes.Clone(b))
		for _, o := range out {
			if largest > 0 && packet.Destination(o) != nil && len(o) > int(largest) {
				t.Fatalf("%d bytes on a path that carries %d", len(o), largest)
			}
			p, err := packet.ParseIP(o)
			if sound && (err != nil || len(out) == 1 && !p.TransportChecksumOK()) {
				t.Fatalf("a sound packet became a broken one: %v", err)
			}
		}
		tcp, isTCP := was.TCP()
		clamped := isTCP && tcp.Flags()&packet.SYN != 0
		if len(out) > 1 && !was.IsFragment() && !clamped {
			var body []byte
			for _, o := range out {
				p, err := packet.ParseIP(o)
				if err != nil || p.FragmentOffset() != len(body) || !p.HeaderChecksumOK() {
					t.Fatalf("fragment at %d, want %d (%v)", p.FragmentOffset(), len(body), err)
				}
				body = append(body, part(p)...)
			}
			if !bytes.HasSuffix(was.Bytes(), body) || len(body) == 0 {
				t.Fatal("the fragments have other bytes than the packet")
			}
		}
		for _, a := range answers {
			if p, err := packet.ParseIP(a); err != nil || !p.HeaderChecksumOK() || !p.TransportChecksumOK() || source {
				t.Fatalf("a broken answer: %v", err)
			}
		}
	})
}

// part is what a fragment carries of its packet, which may begin with more extension headers.
func part(p packet.IP) []byte {
	if p.Is4() {
		return p.Payload()
	}
	b := p.Bytes()
	for at, next := packet.IPv6HeaderLen, b[6]; ; {
		if next == 44 {
			return b[at+8:]
		}
		next, at = b[at], at+(int(b[at+1])+1)*8
	}
}

func BenchmarkRead(b *testing.B) {
	for name, sizes := range map[string][]fit.Size{"no narrow path": nil, "another path is narrow": narrow(1300)} {
		b.Run(name, func(b *testing.B) {
			inner := &endless{packet: udp(here4, wide4, true, 1420)}
			d := fit.New(inner, paths(sizes), fit.Config{})
			bufs, lengths := make([][]byte, 44), make([]int, 44)
			for i := range bufs {
				bufs[i] = make([]byte, offset+65535)
				copy(bufs[i][offset:], inner.packet)
			}
			for b.Loop() {
				if _, err := d.Read(bufs, lengths, offset); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// endless has the same packet for ever, and copies nothing.
type endless struct {
	tun.Device
	packet []byte
}

func (e *endless) Read(bufs [][]byte, sizes []int, _ int) (int, error) {
	for i := range bufs {
		sizes[i] = len(e.packet)
	}
	return len(bufs), nil
}
