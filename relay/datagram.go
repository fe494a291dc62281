package relay

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"hash"

	"nexd/mesh"
)

// A datagram of the UDP carrier: no STUN message, and no WireGuard message, begins
// like it.
//
//	| magic 4 | session 8 | counter 8 | frames … | MAC 16 |
const (
	datagramMagic = "\x9enxR"
	datagramHead  = len(datagramMagic) + len(SessionID{}) + 8
	datagramMAC   = 16
)

// Sizes of datagrams in bytes.
const (
	MaxDatagram = datagramHead + MaxFrame + datagramMAC
	// PingSize is the body of a ping on the UDP carrier: as long as the largest
	// packet of a network with the usual MTU inside, so that a way on which only
	// small datagrams arrive is not taken.
	PingSize = mesh.KeySize + 1452
)

// UDPPing is the body of a ping on the UDP carrier, before its padding.
type UDPPing struct {
	Seq  uint64
	Good bool // the sender hears the other side: answer this way
}

// AppendUDPPing appends a ping of PingSize.
func AppendUDPPing(b []byte, p UDPPing) []byte {
	var body [PingSize]byte
	binary.BigEndian.PutUint64(body[:], p.Seq)
	if p.Good {
		body[8] = 1
	}
	return AppendFrame(b, TypePing, body[:])
}

// ParseUDPPing reads the body of a ping, or of its pong.
func ParseUDPPing(body []byte) (UDPPing, bool) {
	if len(body) != PingSize {
		return UDPPing{}, false
	}
	return UDPPing{Seq: binary.BigEndian.Uint64(body), Good: body[8] == 1}, true
}

// DatagramSession is the session that a datagram claims to be of; false if it is no
// datagram of a relay.
func DatagramSession(d []byte) (id SessionID, ok bool) {
	if len(d) < datagramHead+datagramMAC || string(d[:len(datagramMagic)]) != datagramMagic {
		return id, false
	}
	return SessionID(d[len(datagramMagic):]), true
}

// Sealer makes the datagrams of one direction. It is not safe for concurrent use.
type Sealer struct {
	id      SessionID
	mac     hash.Hash
	counter uint64
	sum     [sha256.Size]byte
}

// NewSealer makes a sealer with a key of Shared.
func NewSealer(id SessionID, key [32]byte) *Sealer {
	return &Sealer{id: id, mac: hmac.New(sha256.New, key[:])}
}

// Seal appends a datagram with whole frames to b.
func (s *Sealer) Seal(b, frames []byte) []byte {
	start := len(b)
	s.counter++
	b = append(b, datagramMagic...)
	b = append(b, s.id[:]...)
	b = binary.BigEndian.AppendUint64(b, s.counter)
	b = append(b, frames...)
	s.mac.Reset()
	s.mac.Write(b[start:])
	return append(b, s.mac.Sum(s.sum[:0])[:datagramMAC]...)
}

// Opener takes the datagrams of one direction: each once, in about any order. It is
// not safe for concurrent use.
type Opener struct {
	mac  hash.Hash
	sum  [sha256.Size]byte
	seen window
}

// NewOpener makes an opener with a key of Shared.
func NewOpener(key [32]byte) *Opener { return &Opener{mac: hmac.New(sha256.New, key[:])} }

// Open gives the frames of a datagram, which lie in it, and says whether it is
// newer than all before. A forged or repeated one is an error.
func (o *Opener) Open(d []byte) (frames []byte, newest bool, err error) {
	if _, ok := DatagramSession(d); !ok {
		return nil, false, mesh.Errorf(mesh.Invalid, "relay: %d bytes that are no datagram", len(d))
	}
	said, mac := d[:len(d)-datagramMAC], d[len(d)-datagramMAC:]
	o.mac.Reset()
	o.mac.Write(said)
	if !hmac.Equal(mac, o.mac.Sum(o.sum[:0])[:datagramMAC]) {
		return nil, false, mesh.Errorf(mesh.Denied, "relay: forged datagram")
	}
	fresh, newest := o.seen.add(binary.BigEndian.Uint64(d[datagramHead-8:]))
	if !fresh {
		return nil, false, mesh.Errorf(mesh.Denied, "relay: repeated datagram")
	}
	return said[datagramHead:], newest, nil
}

// window remembers which of the last counters were seen; older ones count as seen.
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
