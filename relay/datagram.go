package relay

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"

	"nexd/internal/sealed"
	"nexd/mesh"
)

// The two kinds of datagrams of the UDP carrier. No STUN message begins like them.
//
//	long:   9e | MAC 12 | session 4 | counter 5 | frame
//	short:  9f | MAC 12 | session 4 | counter 5 | channel 2 | WireGuard data message from its 5th byte on
//
// A short datagram is 20 bytes longer than its message, so that a full packet of the usual inner MTU
// becomes a full packet of 1,500 bytes over IPv4, and the kernel can segment and join runs of them.
// A long datagram carries everything else.
const (
	kindLong  = 0x9e
	kindShort = 0x9f

	macSize    = 12
	covered    = 1 + macSize // from here on the MAC covers
	counterAt  = covered + len(SessionID{})
	longHead   = counterAt + 5
	shortHead  = longHead + 2
	typeSize   = 4              // the type of a WireGuard message, which a short datagram leaves out
	shortMAC   = shortHead + 12 // the MAC of a short datagram covers WireGuard's receiver and counter, but not the ciphertext
	lastNumber = 1<<40 - 1      // the last counter
	leastShort = shortRoom + sealed.DataMinSize
	shortRoom  = shortHead - typeSize // bytes before a message in a short datagram
)

// Sizes of datagrams in bytes.
const (
	MaxDatagram = longHead + MaxFrame
	// PingSize is the size of a ping's body over UDP. Its datagram is as long as that of the largest
	// packet at the usual inner MTU, so that a path that loses large datagrams is not used.
	PingSize = shortRoom + 1452 - longHead - HeaderSize
)

// Places in the body of a ping.
const (
	proofAt = 9
	runAt   = proofAt + 8 // 1: Run, 2: Rest
)

// Reasons to refuse a datagram.
var (
	ErrForged    = mesh.Errorf(mesh.Denied, "relay: forged datagram")
	ErrRepeated  = mesh.Errorf(mesh.Denied, "relay: repeated datagram")
	errNone      = mesh.Errorf(mesh.Invalid, "relay: no datagram of a relay")
	errNoChannel = mesh.Errorf(mesh.NotFound, "relay: datagram of a channel that nobody has named")
)

// UDPPing is the body of a ping over UDP, without its padding.
type UDPPing struct {
	Seq  uint64
	Good bool // the sender receives datagrams: send data this way
	// Proof comes with a pong, and is sent back in later pings. It shows that its sender receives
	// what is sent to the address of the pong.
	Proof uint64
	// Run asks for two pongs in a run, if the proof is right: data comes in runs, and a path may
	// swallow those only. Rest is the other ping of such a run, which needs no answer.
	Run, Rest bool
}

// AppendUDPPing appends a ping of PingSize.
func AppendUDPPing(b []byte, p UDPPing) []byte {
	var body [PingSize]byte
	binary.BigEndian.PutUint64(body[:], p.Seq)
	if p.Good {
		body[8] = 1
	}
	binary.BigEndian.PutUint64(body[proofAt:], p.Proof)
	switch {
	case p.Rest:
		body[runAt] = 2
	case p.Run:
		body[runAt] = 1
	}
	return AppendFrame(b, TypePing, body[:])
}

// ParseUDPPing reads the body of a ping or a pong.
func ParseUDPPing(body []byte) (UDPPing, bool) {
	if len(body) != PingSize {
		return UDPPing{}, false
	}
	return UDPPing{Seq: binary.BigEndian.Uint64(body), Good: body[8] == 1, Proof: binary.BigEndian.Uint64(body[proofAt:]), Run: body[runAt] == 1, Rest: body[runAt] == 2}, true
}

// Pong turns the body of a ping into that of its pong.
func Pong(ping []byte, proof uint64) []byte {
	binary.BigEndian.PutUint64(ping[proofAt:], proof)
	return ping
}

// DatagramSession returns the session that a datagram claims to belong to. ok is false if it is not
// a datagram of a relay.
func DatagramSession(d []byte) (id SessionID, ok bool) {
	if len(d) < longHead+HeaderSize || d[0] != kindLong && (d[0] != kindShort || len(d) < leastShort) {
		return id, false
	}
	return SessionID(d[covered:]), true
}

// newMAC returns AES-GCM, of which only the tag is used. A key of Shared never seals twice with one
// nonce, since the nonce contains the counter of the datagram.
func newMAC(key [32]byte) cipher.AEAD {
	block, err := aes.NewCipher(key[:])
	if err == nil {
		var mac cipher.AEAD
		if mac, err = cipher.NewGCMWithTagSize(block, macSize); err == nil {
			return mac
		}
	}
	panic(err) // never: both sizes are constants that exist
}

// nonce is made of session, counter, kind and length. It is a field of its user, so that it is not
// allocated each time.
type nonce [12]byte

func (n *nonce) of(d []byte) []byte {
	copy(n[:9], d[covered:longHead])
	n[9] = d[0]
	binary.BigEndian.PutUint16(n[10:], uint16(len(d)))
	return n[:]
}

func numberOf(d []byte) uint64 {
	return uint64(d[counterAt])<<32 | uint64(binary.BigEndian.Uint32(d[counterAt+1:]))
}

// sealer makes the datagrams of one direction. It is not safe for concurrent use.
type sealer struct {
	id    SessionID
	mac   cipher.AEAD
	last  uint64 // number used
	nonce nonce
}

func newSealer(id SessionID, key [32]byte) sealer { return sealer{id: id, mac: newMAC(key)} }

// head writes the head of a datagram. The MAC covers the bytes before until.
func (s *sealer) head(d []byte, kind byte, until int) {
	s.last++
	d[0] = kind
	copy(d[covered:], s.id[:])
	d[counterAt] = byte(s.last >> 32)
	binary.BigEndian.PutUint32(d[counterAt+1:], uint32(s.last))
	s.mac.Seal(d[1:1:covered], s.nonce.of(d), nil, d[covered:until])
}

// long appends a datagram with whole frames. ok is false if there are no numbers left.
func (s *sealer) long(b, frames []byte) ([]byte, bool) {
	if s.last == lastNumber {
		return b, false
	}
	start := len(b)
	b = append(append(b, make([]byte, longHead)...), frames...)
	d := b[start:]
	s.head(d, kindLong, len(d))
	return b, true
}

// short turns the segments of a run into short datagrams. Each segment is shortRoom bytes and a
// data message. If there are no numbers left, it returns false and does not change the run.
func (s *sealer) short(run []byte, segment int, channel uint16) bool {
	if s.last+uint64(len(run)/segment)+1 > lastNumber {
		return false
	}
	for len(run) > 0 {
		d := run[:min(segment, len(run))]
		binary.BigEndian.PutUint16(d[longHead:], channel)
		s.head(d, kindShort, shortMAC)
		run = run[len(d):]
	}
	return true
}

// opener opens the datagrams of one direction, each once, in almost any order. It is not safe for
// concurrent use.
type opener struct {
	mac   cipher.AEAD
	seen  window
	nonce nonce
}

func newOpener(key [32]byte) opener { return opener{mac: newMAC(key)} }

// open checks a datagram and reports whether it is newer than all before. Then frames or message
// return its content.
func (o *opener) open(d []byte) (newest bool, err error) {
	if _, ok := DatagramSession(d); !ok {
		return false, errNone
	}
	until := len(d)
	if d[0] == kindShort {
		until = shortMAC
	}
	if _, err := o.mac.Open(nil, o.nonce.of(d), d[1:covered], d[covered:until]); err != nil {
		return false, ErrForged
	}
	fresh, newest := o.seen.add(numberOf(d))
	if !fresh {
		return false, ErrRepeated
	}
	return newest, nil
}

// frames returns the frames of a long datagram.
func frames(d []byte) []byte { return d[longHead:] }

// message returns the packet of a short datagram. It overwrites the head of the datagram.
func message(d []byte) (channel uint16, packet []byte) {
	channel = binary.BigEndian.Uint16(d[longHead:])
	packet = d[shortRoom:]
	binary.LittleEndian.PutUint32(packet, sealed.Data)
	return channel, packet
}

// window remembers which of the last counters were seen. Older ones count as seen.
type window struct {
	top  uint64
	bits [windowSize / 64]uint64
}

const windowSize = 2048

func (w *window) add(n uint64) (fresh, newest bool) {
	switch {
	case n == 0 || n+windowSize <= w.top:
		return false, false
	case n > w.top:
		for i := w.top + 1; i <= n && i <= w.top+windowSize; i++ {
			w.bits[i/64%uint64(len(w.bits))] &^= 1 << (i % 64)
		}
		w.top, newest = n, true
	}
	word, bit := &w.bits[n/64%uint64(len(w.bits))], uint64(1)<<(n%64)
	if *word&bit != 0 {
		return false, false
	}
	*word |= bit
	return true, newest
}
