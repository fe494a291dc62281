package link

import (
	"encoding/binary"
	"math"
	"slices"
	"testing"

	"nexd/internal/packet"
	"nexd/mesh"
	"nexd/netstack/gvisor"
	"nexd/netstack/icmp"
)

// What a peer announced is kept to, whatever options the packets carry.
func TestSegmentsAreOfWholePackets(t *testing.T) {
	w := newSegmentSize(mesh.DefaultMTU)
	for _, mss := range []int{0, 20, 41, 60, 80, 81, 216, 536, 1220, 1340, 1379, 1380, 8960, 32747, 32788, 40000, math.MaxUint16} {
		raised := min(w.of(mss, gvisor.OptionSpace), math.MaxUint16)
		if raised < mss {
			t.Errorf("MSS %d becomes %d", mss, raised)
		}
		for options := 0; options <= gvisor.OptionSpace; options += 4 {
			if mss <= options {
				continue // not even one byte
			}
			if got := max((raised-options)/w.packets, 1); got > mss-options {
				t.Errorf("MSS %d, %d bytes of options: packets carry %d bytes", mss, options, got)
			}
		}
		if full := mss - gvisor.OptionSpace; full > gvisor.OptionSpace && raised < math.MaxUint16 && (raised-gvisor.OptionSpace) != full*w.packets {
			t.Errorf("MSS %d: a segment of %d is not of whole packets", mss, raised)
		}
	}
	for mtu := 1280; mtu <= 65000; mtu += 97 {
		w := newSegmentSize(mtu)
		if s := w.of(mtu, gvisor.Overhead(true)); s > math.MaxUint16 || s < mtu {
			t.Fatalf("MTU %d: a segment of %d", mtu, s)
		}
		for _, mss := range []int{1, 536, mtu - gvisor.Overhead(true), mtu - gvisor.Overhead(false)} {
			if n := (&Link{segments: w}).MaxWrite(mss); n%(mss*w.packets) != 0 || n == 0 || n > max(w.superPayload(), w.packets*mss) {
				t.Errorf("MTU %d: %d bytes at a time of packets of %d", mtu, n, mss)
			}
		}
	}
}

func TestChangeMSS(t *testing.T) {
	for _, tt := range []struct {
		name     string
		options  []byte
		was, now int // 0: nothing changes
	}{
		{"first", []byte{2, 4, 5, 100, 4, 2, 1, 1}, 1380, 2720},
		{"at an odd place", []byte{1, 2, 4, 5, 100, 1, 1, 1}, 1380, 2720},
		{"after others", []byte{4, 2, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8, 2, 4, 5, 100}, 1380, 2720},
		{"smaller than ours", []byte{2, 4, 5, 0}, 1280, 1280},
		{"large", []byte{2, 4, 255, 255}, 65535, 65535},
		{"tiny", []byte{2, 4, 0, 20}, 20, 20},
		{"none", []byte{4, 2, 1, 1}, 0, 0},
		{"no options", nil, 0, 0},
		{"after the end", []byte{0, 2, 4, 5, 100, 0, 0, 0}, 0, 0},
		{"cut off", []byte{1, 1, 1, 2}, 0, 0},
		{"its value cut off", []byte{1, 2, 4, 5}, 0, 0},
		{"of another length", []byte{2, 3, 5, 1}, 0, 0},
		{"a length of 0", []byte{5, 0, 2, 4, 5, 100, 1, 1}, 0, 0},
	} {
		for _, src := range []bool{true, false} {
			p := mustParse(t, syn(src, tt.options))
			before := slices.Clone(p.Bytes())
			newSegmentSize(mesh.DefaultMTU).raise(p)
			if !p.TransportChecksumOK() {
				t.Errorf("%s: the checksum is wrong", tt.name)
			}
			tcp, _ := p.TCP()
			got := 0
			changeMSS(tcp, func(mss int) int { got = mss; return mss })
			if got != tt.now {
				t.Errorf("%s: MSS %d became %d, want %d", tt.name, tt.was, got, tt.now)
			}
			if tt.was == tt.now && !slices.Equal(before, p.Bytes()) {
				t.Errorf("%s: the packet changed", tt.name)
			}
		}
	}
}

// syn is a packet with right checksums that opens a connection.
func syn(is4 bool, options []byte) []byte {
	src, dst, at := local6, remote6, packet.IPv6HeaderLen
	if is4 {
		src, dst, at = local4, remote4, packet.IPv4HeaderLen
	}
	tcp := make([]byte, packet.TCPHeaderLen, packet.TCPHeaderLen+len(options))
	tcp[12], tcp[13] = uint8(packet.TCPHeaderLen+len(options))/4<<4, packet.SYN
	b := icmp.IP(src, dst, append(tcp, options...))
	if is4 {
		b[9] = packet.ProtoTCP
	} else {
		b[6] = packet.ProtoTCP
	}
	length := len(b) - at
	sum := packet.PseudoHeader(append(src.AsSlice(), dst.AsSlice()...), packet.ProtoTCP, length)
	binary.BigEndian.PutUint16(b[at+16:], ^packet.Sum(b[at:], sum))
	return b
}

// Whatever a peer's SYN has in its options, only the value of one of them changes.
func FuzzChangeMSS(f *testing.F) {
	f.Add([]byte{2, 4, 5, 100, 4, 2, 1, 1})
	f.Add([]byte{1, 2, 4, 5, 100, 1, 1, 1})
	f.Fuzz(func(t *testing.T, options []byte) {
		options = options[:min(len(options), 40)/4*4]
		p := mustParse(t, syn(true, options))
		before := slices.Clone(p.Bytes())
		newSegmentSize(mesh.DefaultMTU).raise(p)
		changed := 0
		for i, b := range p.Bytes()[packet.IPv4HeaderLen+packet.TCPHeaderLen:] {
			if b != before[packet.IPv4HeaderLen+packet.TCPHeaderLen+i] {
				changed++
			}
		}
		if !p.TransportChecksumOK() || changed > 2 {
			t.Errorf("%x: %d bytes changed, checksum %v", options, changed, p.TransportChecksumOK())
		}
	})
}
