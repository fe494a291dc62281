package repair

import (
	"bytes"
	"sync"
	"sync/atomic"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"

	"nexd/internal/packet"
	"nexd/netstack/gvisor"
)

const (
	// A SYN that meets a connection which is not over waits, because the segments that
	// end the connection may be in a queue of gVisor's, or the program about to close it.
	// It is looked at again after firstWait, and each time after twice as long. After
	// askAfter, gVisor gets a copy and asks the peer, who resets the old connection if it
	// has forgotten it (RFC 5961 section 4). The SYN itself waits until lastWait.
	firstWait = 5 * time.Millisecond
	askAfter  = 80 * time.Millisecond
	lastWait  = 320 * time.Millisecond
	maxHeld   = 256 // SYNs that wait; further ones go to gVisor at once

	maxEnded  = 1 << 14
	endedLife = 90 * time.Second // longer than FIN_WAIT_2 and TIME_WAIT together
)

// reopener lets a peer open a connection from a port whose last connection is in
// TIME_WAIT here, as kernels do. Where a peer opens many short connections, ports come
// back after seconds. gVisor passes such a SYN to a listening endpoint, but never to a
// forwarder: it drops the SYN, and the peer repeats it until TIME_WAIT has ended.
//
// The SYN must be newer than the old connection: by its timestamp (RFC 6191), or by its
// sequence number if either has no timestamps (RFC 1122 section 4.2.2.13). A repeated
// SYN of the old connection never is.
type reopener struct {
	find  func(packet.Flow) *tcp.Endpoint // the connection of a flow, nil if there is none
	again func(packet []byte)             // delivers a packet that was held
	held  atomic.Int32

	mu    sync.Mutex
	ended map[packet.Flow]endedFlow // closed connections without timestamps
	order []packet.Flow             // oldest first
}

type endedFlow struct {
	flow  *Flow
	since time.Time
}

// opens is told of each segment with SYN and without ACK. It returns true if it has
// taken the segment, to deliver it a little later.
func (o *reopener) opens(p packet.IP, syn packet.TCP) bool {
	ep := o.met(p)
	if ep == nil {
		return false
	}
	if ep.EndpointState() == tcp.StateTimeWait && o.retire(ep, p, syn) {
		return false
	}
	if o.held.Add(1) > maxHeld {
		o.held.Add(-1)
		return false
	}
	o.lookAgain(bytes.Clone(p.Bytes()), firstWait)
	return true
}

// lookAgain delivers a SYN that is held as soon as the connection that it meets is over.
func (o *reopener) lookAgain(b []byte, wait time.Duration) {
	time.AfterFunc(wait, func() {
		p, _ := packet.ParseIP(b)
		syn, _ := p.TCP()
		ep := o.met(p)
		over := ep == nil || hasFIN(ep.EndpointState()) && o.retire(ep, p, syn)
		if !over && wait == askAfter {
			o.again(bytes.Clone(b))
		}
		if !over && wait < lastWait {
			o.lookAgain(b, 2*wait)
			return
		}
		o.held.Add(-1)
		if over {
			o.again(b)
		}
	})
}

// hasFIN reports whether the peer has closed its half and this side has too.
func hasFIN(s tcp.EndpointState) bool {
	return s == tcp.StateTimeWait || s == tcp.StateLastAck || s == tcp.StateClosing
}

// met returns the connection to which a SYN would go, nil if it opens one.
func (o *reopener) met(p packet.IP) *tcp.Endpoint {
	f, ok := p.Flow()
	if !ok {
		return nil
	}
	ep := o.find(f)
	if ep == nil {
		return nil
	}
	switch ep.EndpointState() {
	case tcp.StateListen, tcp.StateConnecting, tcp.StateSynSent:
		return nil
	}
	return ep
}

// retire removes a connection that a newer one replaces, and whose data the program has
// read.
func (o *reopener) retire(ep *tcp.Endpoint, p packet.IP, syn packet.TCP) bool {
	unread, err := ep.GetSockOptInt(tcpip.ReceiveQueueSizeOption)
	if err != nil || unread > 0 || !o.newer(ep, p, syn) {
		return false
	}
	ep.Abort() // Flow drops the reset
	return true
}

func (o *reopener) newer(ep *tcp.Endpoint, p packet.IP, syn packet.TCP) bool {
	options := header.ParseSynOptions(syn.Options(), false)
	ep.LockUser()
	has, recent := ep.SendTSOk, ep.RecentTS
	ep.UnlockUser()
	if has && options.TS {
		// Equal is new enough: the peer repeats a SYN after far more than a tick.
		return int32(options.TSVal-recent) >= 0
	}
	key, ok := p.Flow()
	if !ok {
		return false
	}
	o.mu.Lock()
	old := o.ended[key].flow
	o.mu.Unlock()
	if old == nil || old.ep != ep {
		return false
	}
	ep.LockUser()
	defer ep.UnlockUser()
	return old.ack.known && int32(syn.Seq()-old.ack.acked) > 0
}

// remember keeps a closed connection without timestamps, whose sequence numbers decide
// whether a SYN is newer.
func (o *reopener) remember(f *Flow, key packet.Flow, now time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.ended == nil {
		o.ended = make(map[packet.Flow]endedFlow)
	}
	for len(o.order) > 0 && (len(o.order) >= maxEnded || now.Sub(o.ended[o.order[0]].since) > endedLife) {
		delete(o.ended, o.order[0])
		o.order = o.order[1:]
	}
	if _, again := o.ended[key]; !again {
		o.order = append(o.order, key)
	}
	o.ended[key] = endedFlow{f, now}
}

// Closed is told that the program has closed the connection.
func (f *Flow) Closed() {
	if f.ep.SendTSOk {
		return
	}
	remote, local := gvisor.Ends(f.ep.TransportEndpointInfo.ID)
	if remote.IsValid() && remote.Port() != 0 {
		f.r.reopens.remember(f, packet.Flow{Src: remote, Dst: local, Proto: packet.ProtoTCP}, time.Now())
	}
}

// mute reports whether a packet is the reset of a connection in TIME_WAIT, which only
// reopener aborts. Its peer is about to open the next connection.
func (f *Flow) mute(pkt *stack.PacketBuffer) bool {
	h := packet.TCP(pkt.TransportHeader().Slice())
	return len(h) >= packet.TCPHeaderLen && h.Flags()&packet.RST != 0 && f.ep.EndpointState() == tcp.StateTimeWait
}

// Attach lets peers reopen the connections of a stack. again delivers a packet to it.
func (r *Repairs) Attach(s *stack.Stack, again func(packet []byte)) {
	r.reopens.again = again
	r.reopens.find = func(f packet.Flow) *tcp.Endpoint {
		ep, _ := s.FindTransportEndpoint(gvisor.Protocol(f.Dst.Addr()), tcp.ProtocolNumber, stack.TransportEndpointID{
			LocalAddress: gvisor.Address(f.Dst.Addr()), LocalPort: f.Dst.Port(),
			RemoteAddress: gvisor.Address(f.Src.Addr()), RemotePort: f.Src.Port(),
		}, gvisor.NIC).(*tcp.Endpoint)
		return ep
	}
}
