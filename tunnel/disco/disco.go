package disco

import (
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"net/netip"

	"golang.org/x/crypto/chacha20poly1305"

	"nexd/internal/sealed"
	"nexd/mesh"
)

// MaxAddrs is how many addresses a callme carries.
const MaxAddrs = 16

const (
	frontLen = len(sealed.CallMagic)
	hintLen  = 8
	headLen  = frontLen + hintLen
	nonceLen = chacha20poly1305.NonceSizeX
	around   = headLen + nonceLen + chacha20poly1305.Overhead // a body
	txLen    = 12
	addrLen  = 18

	pingLen = PingSize - around // of a ping's body
	pongLen = PongSize - around
	callLen = 1 + 8 + 1 // of a callme without addresses

	// PingSize is the size of WireGuard's initiation.
	PingSize = sealed.InitiationSize
	// PongSize is the size of a small data message.
	PongSize = 96

	// MinSize and MaxSize bound every disco packet but a sized ping.
	MinSize = around + callLen
	MaxSize = around + callLen + MaxAddrs*addrLen

	// LeastSized and MostSized bound a sized ping.
	LeastSized = PongSize + 1
	MostSized  = 1<<16 - 1

	reportLen = pongLen
)

const label = "nexd disco v1"

// Kind is the kind of a message.
type Kind uint8

const (
	// Ping asks whether an address leads to the peer.
	Ping Kind = 1
	// Pong answers a ping, from the socket at which the ping arrived.
	Pong Kind = 2
	// CallMe asks the receiver to ping its sender now, at the addresses in it.
	CallMe Kind = 3
	// Report tells the receiver how much of its data has arrived.
	Report Kind = 4
	// Sized is a ping of a given size in the form of data.
	Sized Kind = 5
)

// Counters is how many counters of data packets a report has: four of those that arrived directly,
// by size, and three of those that the relay carried. Bounds are the largest WireGuard messages
// of each but the last of a way; the relay's third has all above the second bound.
const Counters = 7

// Bounds are sizes of WireGuard's data messages; see Counters.
var Bounds = [3]int{512, 1232, 1360}

// TxID matches a pong to its ping. It is random.
type TxID [txLen]byte

// Message is the body of a disco packet; which fields count depends on Kind.
type Message struct {
	Kind     Kind
	Tx       TxID             // ping, pong, sized
	Time     uint64           // all but pong: higher than in every message before
	Observed netip.AddrPort   // pong: the source of the ping; invalid if it came through a relay
	Addrs    []netip.AddrPort // callme
	Arrived  [Counters]uint32 // report: data packets since any moment
	Largest  uint16           // report: the largest data message that arrived directly since the last report
	Size     int              // sized: of the packet; the receiver finds it as it arrived
	Relayed  bool             // report: it goes by the relay, which carries no report in the form of data
}

// Hint identifies sender and receiver of a packet to a node that knows both keys.
type Hint [hintLen]byte

// HintFor is the hint in packets from one node to another.
func HintFor(from, to mesh.Key) Hint {
	h := sha256.New()
	h.Write([]byte(label + " hint"))
	h.Write(from[:])
	h.Write(to[:])
	return Hint(h.Sum(nil)[:hintLen])
}

// Is reports whether a datagram claims to be a callme. Pings and pongs look like messages of
// WireGuard; only the hint tells them apart.
func Is(packet []byte) bool {
	return sealed.IsCall(packet)
}

// HintOf is the hint of a packet; false if the packet does not have the form of a message.
func HintOf(packet []byte) (Hint, bool) {
	if formOf(packet) == 0 {
		return Hint{}, false
	}
	return Hint(packet[frontLen:headLen]), true
}

// formOf is the kind of message whose form a packet has; 0 for none. A report has the form of
// a pong, or through the relay that of a callme.
func formOf(packet []byte) Kind {
	switch t := sealed.Type(packet); {
	case t == sealed.Initiation:
		return Ping
	case t == sealed.Data && len(packet) == PongSize:
		return Pong
	case t == sealed.Data && len(packet) >= LeastSized:
		return Sized
	case Is(packet) && len(packet) >= MinSize && len(packet) <= MaxSize:
		return CallMe
	}
	return 0
}

// front is the beginning of a packet of a kind.
func front(k Kind) (f [frontLen]byte) {
	switch k {
	case Ping:
		binary.LittleEndian.PutUint32(f[:], sealed.Initiation)
	case Pong, Sized:
		binary.LittleEndian.PutUint32(f[:], sealed.Data)
	default:
		copy(f[:], sealed.CallMagic)
		return f
	}
	rand.Read(f[4:]) // WireGuard has an index there
	return f
}

// Pair seals and opens the messages of two nodes.
type Pair struct {
	out, in       cipher.AEAD
	outHint, hint Hint // of sent and of received packets
}

// NewPair derives the keys between this node and a peer. It returns an error of kind Invalid
// if the peer's key yields no shared secret.
func NewPair(own mesh.PrivateKey, peer mesh.Key) (*Pair, error) {
	secret, err := own.SharedSecret(peer)
	if err != nil {
		return nil, mesh.Errorf(mesh.Invalid, "disco: key agreement with %v: %w", peer.Short(), err)
	}
	self := own.Public()
	p := &Pair{outHint: HintFor(self, peer), hint: HintFor(peer, self)}
	if p.out, err = direction(secret[:], self, peer); err != nil {
		return nil, err
	}
	if p.in, err = direction(secret[:], peer, self); err != nil {
		return nil, err
	}
	return p, nil
}

func direction(secret []byte, from, to mesh.Key) (cipher.AEAD, error) {
	key, err := hkdf.Key(sha256.New, secret, nil, label+string(from[:])+string(to[:]), chacha20poly1305.KeySize)
	if err != nil {
		return nil, mesh.Errorf(mesh.Internal, "disco: derive a key: %w", err)
	}
	aead, err := chacha20poly1305.NewX(key)
	if err != nil {
		return nil, mesh.Errorf(mesh.Internal, "disco: cipher: %w", err)
	}
	return aead, nil
}

// form is the kind of message whose form m takes.
func (m *Message) form() Kind {
	switch {
	case m.Kind == Report && m.Relayed:
		return CallMe
	case m.Kind == Report:
		return Pong
	}
	return m.Kind
}

// Seal makes a packet of m. It leaves out addresses beyond MaxAddrs.
func (p *Pair) Seal(m Message) []byte {
	packet := make([]byte, headLen+nonceLen, max(MaxSize, m.Size))
	head := front(m.form())
	copy(packet, head[:])
	copy(packet[frontLen:], p.outHint[:])
	rand.Read(packet[headLen:])
	return p.out.Seal(packet, packet[headLen:], body(m), packet[:headLen])
}

// Open opens a packet of the peer. It returns false if the packet is not from the peer, not
// for this node, or not a message.
func (p *Pair) Open(packet []byte) (Message, bool) {
	form := formOf(packet)
	if form == 0 || Hint(packet[frontLen:headLen]) != p.hint {
		return Message{}, false
	}
	var room [MaxSize]byte // the body of a large sized ping gets one of its own
	b, err := p.in.Open(room[:0], packet[headLen:headLen+nonceLen], packet[headLen+nonceLen:], packet[:headLen])
	if err != nil {
		return Message{}, false
	}
	m, ok := parse(b)
	m.Relayed = m.Kind == Report && form == CallMe
	return m, ok && m.form() == form
}

func body(m Message) []byte {
	b := []byte{byte(m.Kind)}
	switch m.Kind {
	case Ping:
		b = append(b, m.Tx[:]...)
		b = binary.BigEndian.AppendUint64(b, m.Time)
		return append(b, make([]byte, pingLen-len(b))...)
	case Pong:
		b = append(b, m.Tx[:]...)
		b = appendAddr(b, m.Observed)
		return append(b, make([]byte, pongLen-len(b))...)
	case Report:
		b = binary.BigEndian.AppendUint64(b, m.Time)
		for _, n := range m.Arrived {
			b = binary.BigEndian.AppendUint32(b, n)
		}
		b = binary.BigEndian.AppendUint16(b, m.Largest)
		return append(b, make([]byte, reportLen-len(b))...)
	case Sized:
		b = append(b, m.Tx[:]...)
		b = binary.BigEndian.AppendUint64(b, m.Time)
		size := min(max(m.Size, LeastSized), MostSized)
		return append(b, make([]byte, size-around-len(b))...)
	}
	addrs := m.Addrs[:min(len(m.Addrs), MaxAddrs)]
	b = binary.BigEndian.AppendUint64(b, m.Time)
	b = append(b, byte(len(addrs)))
	for _, a := range addrs {
		b = appendAddr(b, a)
	}
	return b
}

// parse is the inverse of body. Every message has exactly one encoding.
func parse(b []byte) (m Message, ok bool) {
	if len(b) == 0 {
		return m, false
	}
	switch m.Kind = Kind(b[0]); {
	case m.Kind == Ping && len(b) == pingLen:
		m.Tx = TxID(b[1:])
		m.Time = binary.BigEndian.Uint64(b[1+txLen:])
		return m, allZero(b[1+txLen+8:])
	case m.Kind == Pong && len(b) == pongLen:
		m.Tx = TxID(b[1:])
		m.Observed, ok = addr(b[1+txLen:])
		return m, ok && allZero(b[1+txLen+addrLen:])
	case m.Kind == Report && len(b) == reportLen:
		m.Time = binary.BigEndian.Uint64(b[1:])
		for i := range m.Arrived {
			m.Arrived[i] = binary.BigEndian.Uint32(b[9+4*i:])
		}
		rest := b[9+4*Counters:]
		m.Largest = binary.BigEndian.Uint16(rest)
		return m, allZero(rest[2:])
	case m.Kind == Sized && len(b) >= LeastSized-around:
		m.Tx = TxID(b[1:])
		m.Time = binary.BigEndian.Uint64(b[1+txLen:])
		m.Size = len(b) + around
		return m, allZero(b[1+txLen+8:])
	case m.Kind == CallMe && len(b) >= callLen:
		m.Time = binary.BigEndian.Uint64(b[1:])
		n := int(b[9])
		if n > MaxAddrs || len(b) != callLen+n*addrLen {
			return m, false
		}
		for i := range n {
			a, ok := addr(b[callLen+i*addrLen:])
			if !ok || !a.IsValid() {
				return m, false
			}
			m.Addrs = append(m.Addrs, a)
		}
		return m, true
	}
	return m, false
}

func allZero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

func appendAddr(b []byte, a netip.AddrPort) []byte {
	if !a.IsValid() {
		return append(b, make([]byte, addrLen)...)
	}
	ip := a.Addr().As16()
	return binary.BigEndian.AppendUint16(append(b, ip[:]...), a.Port())
}

// addr decodes an address; all zeros mean none.
func addr(b []byte) (netip.AddrPort, bool) {
	if allZero(b[:addrLen]) {
		return netip.AddrPort{}, true
	}
	ip, port := netip.AddrFrom16([16]byte(b)).Unmap(), binary.BigEndian.Uint16(b[16:])
	if ip.IsUnspecified() || ip.IsMulticast() || port == 0 {
		return netip.AddrPort{}, false
	}
	return netip.AddrPortFrom(ip, port), true
}
