package netstack

import (
	"encoding/binary"
	"sync"
	"sync/atomic"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"nexd/internal/packet"
)

const (
	// older must bridge the moment between gVisor's noting when it sends a packet
	// and its writing the time into it, also on a busy machine.
	older = 20 // milliseconds, the unit of timestamps

	maxRecoveries = 4096
	recoveryLife  = 2 * time.Minute
)

// recoveries keeps connections from crawling after a retransmission timeout.
//
// When the timer of a connection fires, gVisor sends the oldest packet again and
// waits for its acknowledgement to go on with the rest. But its RACK takes that
// acknowledgement for the news that everything sent before the timeout is lost,
// enters fast recovery, there counts all of it as still in flight, and so may
// send nothing until the timer fires again: two packets per timeout. An outage
// of half a second in a fast transfer took twenty seconds to recover from; with
// RACK off it would not, but then loss and reordering cost more every day.
//
// RACK does not learn from an acknowledgement whose echoed timestamp is older
// than the retransmission it acknowledges, since then it is the original's. So
// for connections in recovery from a timeout, until all that was in flight is
// acknowledged, the echoed timestamps are made a little older. That lengthens
// the round trips measured meanwhile by as much.
type recoveries struct {
	count atomic.Int32 // of flows; what is read for every packet

	mu    sync.Mutex
	flows map[packet.Flow]recovery // by the direction the acknowledgements come from
}

type recovery struct {
	until uint32 // sequence number that ends it
	begun time.Time
}

func (r *recoveries) any() bool { return r.count.Load() != 0 }

// enter is told that pkt is sent because the timer fired, with everything below
// high in flight.
func (r *recoveries) enter(pkt *stack.PacketBuffer, high uint32) {
	key, ok := returnFlow(pkt)
	if !ok {
		return
	}
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.flows == nil {
		r.flows = make(map[packet.Flow]recovery)
	}
	for k, old := range r.flows { // connections that died meanwhile
		if now.Sub(old.begun) > recoveryLife {
			delete(r.flows, k)
		}
	}
	if len(r.flows) < maxRecoveries {
		r.flows[key] = recovery{until: high, begun: now}
	}
	r.count.Store(int32(len(r.flows)))
}

// returnFlow is the flow of packets that answer pkt.
func returnFlow(pkt *stack.PacketBuffer) (packet.Flow, bool) {
	var b [maxHeader]byte
	n := copy(b[:], pkt.NetworkHeader().Slice())
	n += copy(b[n:], pkt.TransportHeader().Slice())
	if n > 0 && b[0]>>4 == 4 { // the length must be that of what is parsed
		binary.BigEndian.PutUint16(b[2:], uint16(n))
	} else {
		binary.BigEndian.PutUint16(b[4:], uint16(n-packet.IPv6HeaderLen))
	}
	p, err := packet.ParseIP(b[:n])
	if err != nil {
		return packet.Flow{}, false
	}
	f, ok := p.Flow()
	return f.Reverse(), ok
}

// arrived looks at a segment from a peer while some connection is in recovery.
// It writes to the packet, whose checksum was already verified.
func (r *recoveries) arrived(p packet.IP, tcp packet.TCP) {
	key, ok := p.Flow()
	if !ok || tcp.Flags()&packet.ACK == 0 {
		return
	}
	r.mu.Lock()
	f, in := r.flows[key]
	if in && (int32(tcp.Ack()-f.until) >= 0 || tcp.Flags()&packet.RST != 0) {
		delete(r.flows, key)
		r.count.Store(int32(len(r.flows)))
		in = false
	}
	r.mu.Unlock()
	if in {
		ageEcho(tcp.Options())
	}
}

// ageEcho makes the echoed timestamp among TCP options a little older.
func ageEcho(options []byte) {
	const end, nop, timestamps, size = 0, 1, 8, 10
	for len(options) > 0 {
		switch options[0] {
		case end:
			return
		case nop:
			options = options[1:]
			continue
		}
		if len(options) < 2 || int(options[1]) < 2 || int(options[1]) > len(options) {
			return
		}
		if options[0] == timestamps && options[1] == size {
			echo := binary.BigEndian.Uint32(options[6:])
			if echo > older { // 0 would be no echo
				binary.BigEndian.PutUint32(options[6:], echo-older)
			}
			return
		}
		options = options[options[1]:]
	}
}
