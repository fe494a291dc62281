package netstack

import (
	"encoding/binary"
	"testing"
	"testing/synctest"
	"time"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"nexd/internal/packet"
)

// holdRig is a holder, one flow, and what its endpoint sends.
type holdRig struct {
	*testing.T
	holder
	flow flow
	ack  uint32
}

// holding runs a test in a bubble. The peer's stream has been acknowledged so far.
func onHold(t *testing.T, test func(*holdRig)) {
	synctest.Test(t, func(t *testing.T) {
		r := &holdRig{T: t, holder: holder{out: newEgress(1<<20, false)}, ack: 1 << 31}
		r.flow.n = &Net{cfg: Config{MTU: 1420}}
		r.flow.mss.Store(1340)
		r.send(packet.ACK, 0, 0)
		r.wants("the end of the handshake", 1)
		test(r)
		r.holder.close()
	})
}

// send has the endpoint send a segment that acknowledges so many bytes more.
func (r *holdRig) send(flags uint8, more uint32, data int, options ...byte) {
	r.ack += more
	pkt := stack.NewPacketBuffer(stack.PacketBufferOptions{
		ReserveHeaderBytes: maxHeader, Payload: buffer.MakeWithData(make([]byte, data)),
	})
	defer pkt.DecRef()
	h := pkt.TransportHeader().Push(packet.TCPHeaderLen + len(options))
	binary.BigEndian.PutUint32(h[8:], r.ack)
	h[12], h[13] = byte(len(h)/4)<<4, flags
	copy(h[packet.TCPHeaderLen:], options)
	if !r.takes(pkt, &r.flow) {
		r.out.push(pkt)
	}
}

// wants checks how many packets went out since the last time.
func (r *holdRig) wants(why string, packets int) {
	r.Helper()
	synctest.Wait()
	n := 0
	for pkt := r.out.pop(false); pkt != nil; pkt = r.out.pop(false) {
		pkt.DecRef()
		n++
	}
	if n != packets {
		r.Errorf("%s: %d packets, want %d", why, n, packets)
	}
}

func TestAnswersCarryAcknowledgements(t *testing.T) {
	onHold(t, func(r *holdRig) {
		for range 100 {
			r.send(packet.ACK, 64, 0)
			time.Sleep(holdFor - 1)
			r.wants("an acknowledgement of little", 0)
			r.send(packet.ACK|packet.PSH, 0, 64)
			r.wants("the answer", 1)
			time.Sleep(time.Second)
			r.wants("after the answer", 0)
		}
	})
}

func TestAnAcknowledgementWaitsForNoMoreThanAMoment(t *testing.T) {
	onHold(t, func(r *holdRig) {
		for range 3 {
			r.send(packet.ACK, 1, 0)
			time.Sleep(holdFor - 1)
			r.wants("just before", 0)
			time.Sleep(time.Nanosecond)
			r.wants("after the moment", 1)
			for range holdAgain {
				r.send(packet.ACK, 1, 0)
				r.wants("once one waited in vain", 1)
				time.Sleep(time.Second)
			}
		}
	})
}

func TestTwoAcknowledgementsNeverWait(t *testing.T) {
	onHold(t, func(r *holdRig) {
		r.send(packet.ACK, 1, 0)
		r.wants("the first", 0)
		r.send(packet.ACK, 1, 0)
		r.wants("the second goes for both", 1)
		time.Sleep(time.Second)
		r.wants("later", 0)
	})
}

func TestWhatDoesNotWait(t *testing.T) {
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
		onHold(t, func(r *holdRig) {
			r.send(tt.flags, tt.more, tt.data, tt.options...)
			want := 1
			if tt.wait {
				want = 0
			}
			r.wants(tt.name, want)
			if tt.flags&packet.FIN != 0 {
				r.send(packet.ACK, 1, 0)
				r.wants("after the end", 1)
			}
		})
	}
}

func TestManyFlowsOnHold(t *testing.T) {
	onHold(t, func(r *holdRig) {
		flows := make([]holdRig, 50)
		for i := range flows {
			f := &flows[i]
			f.T, f.out = r.T, r.out
			f.flow.n = r.flow.n
			f.flow.mss.Store(1340)
		}
		say := func(f *holdRig, more uint32) { // by the one holder
			was := r.flow.holding.known
			pkt := stack.NewPacketBuffer(stack.PacketBufferOptions{ReserveHeaderBytes: maxHeader})
			defer pkt.DecRef()
			h := pkt.TransportHeader().Push(packet.TCPHeaderLen)
			f.ack += more
			binary.BigEndian.PutUint32(h[8:], f.ack)
			h[12], h[13] = 5<<4, packet.ACK
			if !r.takes(pkt, &f.flow) {
				r.out.push(pkt)
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
			time.Sleep(holdFor / 10)
		}
		r.wants("those whose moment is over", len(flows)-9)
		time.Sleep(holdFor)
		r.wants("the rest", 9)
		if len(r.waiting) != 0 || r.armed {
			r.Errorf("%d still wait, timer armed: %v", len(r.waiting), r.armed)
		}
	})
}

func TestNothingIsHeldAfterTheEnd(t *testing.T) {
	onHold(t, func(r *holdRig) {
		r.send(packet.ACK, 1, 0)
		r.holder.close()
		time.Sleep(time.Second)
		r.wants("what waited is dropped", 0)
		r.send(packet.ACK, 1, 0)
		r.wants("the next", 1)
	})
}
