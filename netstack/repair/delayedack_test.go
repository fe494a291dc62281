package repair

import (
	"encoding/binary"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"nexd/internal/packet"
)

// ackRig is an ackDelayer, one flow, and the packets that were sent.
type ackRig struct {
	*testing.T
	ackDelayer
	flow Flow
	ack  uint32

	mu  sync.Mutex
	out int
}

// withDelayer runs a test in a synctest bubble. The handshake is over.
func withDelayer(t *testing.T, test func(*ackRig)) {
	synctest.Test(t, func(t *testing.T) {
		r := &ackRig{T: t, ack: 1 << 31, flow: Flow{r: New(1420, nil, nil)}}
		r.ackDelayer.send = r.count
		r.flow.mss.Store(1340)
		r.sends(packet.ACK, 0, 0)
		r.wants("the end of the handshake", 1)
		test(r)
		r.ackDelayer.close()
	})
}

// count is the network: it counts the packets that are sent.
func (r *ackRig) count(*stack.PacketBuffer) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.out++
	return true
}

// sends has the endpoint send a segment that acknowledges so many bytes more.
func (r *ackRig) sends(flags uint8, more uint32, data int, options ...byte) {
	r.ack += more
	pkt := stack.NewPacketBuffer(stack.PacketBufferOptions{
		ReserveHeaderBytes: 120, Payload: buffer.MakeWithData(make([]byte, data)),
	})
	defer pkt.DecRef()
	h := pkt.TransportHeader().Push(packet.TCPHeaderLen + len(options))
	binary.BigEndian.PutUint32(h[8:], r.ack)
	h[12], h[13] = byte(len(h)/4)<<4, flags
	copy(h[packet.TCPHeaderLen:], options)
	if !r.delays(pkt, &r.flow) {
		r.count(pkt)
	}
}

// wants checks how many packets went out since the last time.
func (r *ackRig) wants(why string, packets int) {
	r.Helper()
	synctest.Wait()
	r.mu.Lock()
	n := r.out
	r.out = 0
	r.mu.Unlock()
	if n != packets {
		r.Errorf("%s: %d packets, want %d", why, n, packets)
	}
}

func TestAnswersCarryAcknowledgements(t *testing.T) {
	withDelayer(t, func(r *ackRig) {
		for range 100 {
			r.sends(packet.ACK, 64, 0)
			time.Sleep(ackDelay - 1)
			r.wants("an acknowledgement of little", 0)
			r.sends(packet.ACK|packet.PSH, 0, 64)
			r.wants("the answer", 1)
			time.Sleep(time.Second)
			r.wants("after the answer", 0)
		}
	})
}

func TestDelayExpires(t *testing.T) {
	withDelayer(t, func(r *ackRig) {
		for range 3 {
			r.sends(packet.ACK, 1, 0)
			time.Sleep(ackDelay - 1)
			r.wants("just before", 0)
			time.Sleep(time.Nanosecond)
			r.wants("after the moment", 1)
			for range ackSkip {
				r.sends(packet.ACK, 1, 0)
				r.wants("once one waited in vain", 1)
				time.Sleep(time.Second)
			}
		}
	})
}

func TestOneAcknowledgementAtMostIsDelayed(t *testing.T) {
	withDelayer(t, func(r *ackRig) {
		r.sends(packet.ACK, 1, 0)
		r.wants("the first", 0)
		r.sends(packet.ACK, 1, 0)
		r.wants("the second goes for both", 1)
		time.Sleep(time.Second)
		r.wants("later", 0)
	})
}

func TestEligible(t *testing.T) {
	const nop, timestamps, sack = 1, 8, 5
	stamps := append([]byte{nop, nop, timestamps, 10}, make([]byte, 8)...)
	for _, tt := range []struct {
		name    string
		flags   uint8
		more    uint32
		data    int
		options []byte
		wait    bool
	}{
		{"little", packet.ACK, 1, 0, nil, true},
		{"little, with timestamps", packet.ACK, 1339, 0, stamps, true},
		{"a whole packet", packet.ACK, 1340, 0, stamps, false},
		{"a duplicate, or a window", packet.ACK, 0, 0, stamps, false},
		{"an older one", packet.ACK, ^uint32(0), 0, stamps, false},
		{"a hole", packet.ACK, 1, 0, append([]byte{nop, nop, sack, 10}, make([]byte, 8)...), false},
		{"data", packet.ACK, 1, 1, stamps, false},
		{"a reset", packet.ACK | packet.RST, 1, 0, nil, false},
		{"the end", packet.ACK | packet.FIN, 1, 0, stamps, false},
	} {
		withDelayer(t, func(r *ackRig) {
			r.sends(tt.flags, tt.more, tt.data, tt.options...)
			want := 1
			if tt.wait {
				want = 0
			}
			r.wants(tt.name, want)
			if tt.flags&packet.FIN != 0 {
				r.sends(packet.ACK, 1, 0)
				r.wants("after the end", 1)
			}
		})
	}
}

func TestManyFlowsDelayed(t *testing.T) {
	withDelayer(t, func(r *ackRig) {
		flows := make([]ackRig, 50)
		for i := range flows {
			f := &flows[i]
			f.T = r.T
			f.flow.r = r.flow.r
			f.flow.mss.Store(1340)
		}
		say := func(f *ackRig, more uint32) { // by the one holder
			was := r.flow.ack.known
			pkt := stack.NewPacketBuffer(stack.PacketBufferOptions{ReserveHeaderBytes: 120})
			defer pkt.DecRef()
			h := pkt.TransportHeader().Push(packet.TCPHeaderLen)
			f.ack += more
			binary.BigEndian.PutUint32(h[8:], f.ack)
			h[12], h[13] = 5<<4, packet.ACK
			if !r.delays(pkt, &f.flow) {
				r.count(pkt)
			}
			if !was {
				r.Error("flows share what they know")
			}
		}
		for i := range flows {
			say(&flows[i], 1)
		}
		r.wants("the first of each", len(flows))
		for i := range flows {
			say(&flows[i], 1)
			time.Sleep(ackDelay / 10)
		}
		r.wants("those whose moment is over", len(flows)-9)
		time.Sleep(ackDelay)
		r.wants("the rest", 9)
		if len(r.delayed) != 0 || r.armed {
			r.Errorf("%d still wait, timer armed: %v", len(r.delayed), r.armed)
		}
	})
}

func TestNothingIsDelayedAfterClose(t *testing.T) {
	withDelayer(t, func(r *ackRig) {
		r.sends(packet.ACK, 1, 0)
		r.ackDelayer.close()
		time.Sleep(time.Second)
		r.wants("what waited is dropped", 0)
		r.sends(packet.ACK, 1, 0)
		r.wants("the next", 1)
	})
}
