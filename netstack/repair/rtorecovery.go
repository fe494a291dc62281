package repair

import (
	"encoding/binary"
	"sync"
	"sync/atomic"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"nexd/internal/packet"
)

const (
	// echoAge is subtracted from echoed timestamps. It must cover the time between
	// the moment that gVisor records as a packet's send time and the moment when it
	// writes the timestamp into the packet, also on a busy machine.
	echoAge = 20 // milliseconds, the unit of gVisor's timestamps

	maxRecoveries = 4096
	recoveryLife  = 2 * time.Minute // for connections that never leave recovery
)

// recoveries keeps connections from slowing down to two packets per timeout after a
// retransmission timeout (RTO).
//
// When the timer fires, gVisor retransmits the oldest packet and waits for its
// acknowledgement. Its RACK concludes from that acknowledgement that everything sent
// before the timeout is lost and enters fast recovery. There gVisor counts all of it
// as still in flight, so it may send nothing until the timer fires again. A fast
// transfer took twenty seconds to recover from an outage of half a second. Without
// RACK it would recover at once, but loss and reordering would cost more every day.
//
// RACK ignores an acknowledgement whose echoed timestamp is older than the
// retransmission that it acknowledges, because it then belongs to the original packet
// (RFC 8985 section 6.2, step 2). So while a connection recovers from a timeout, until
// everything that was in flight is acknowledged, recoveries makes the echoed
// timestamps older by echoAge. Round-trip times measured meanwhile are too long by as
// much.
type recoveries struct {
	count atomic.Int32 // len(flows), which is read for every packet

	mu    sync.Mutex
	flows map[packet.Flow]recovery // keyed by the direction of the acknowledgements
}

type recovery struct {
	until uint32 // acknowledgement number that ends it
	begun time.Time
}

func (r *recoveries) any() bool { return r.count.Load() != 0 }

// enter is told that pkt is retransmitted because the timer fired, and that
// everything below high is in flight.
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
	for k, old := range r.flows { // connections that ended meanwhile
		if now.Sub(old.begun) > recoveryLife {
			delete(r.flows, k)
		}
	}
	if len(r.flows) < maxRecoveries {
		r.flows[key] = recovery{until: high, begun: now}
	}
	r.count.Store(int32(len(r.flows)))
}

// returnFlow is the flow of the packets that answer pkt.
func returnFlow(pkt *stack.PacketBuffer) (packet.Flow, bool) {
	var b [60 + 60]byte // the longest IP and TCP headers
	n := copy(b[:], pkt.NetworkHeader().Slice())
	n += copy(b[n:], pkt.TransportHeader().Slice())
	if n > 0 && b[0]>>4 == 4 { // ParseIP compares the length field with its input
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

// arrived is told of a segment from a peer while any connection is in recovery. It
// changes the packet, whose checksum was already verified.
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

// ageEcho makes the echoed timestamp in TCP options older by echoAge.
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
			if echo > echoAge { // 0 would mean no echo
				binary.BigEndian.PutUint32(options[6:], echo-echoAge)
			}
			return
		}
		options = options[options[1]:]
	}
}
