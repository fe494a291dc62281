package relay

import (
	"encoding/binary"
	"time"

	"nexd/mesh"
)

// MaxChannels is how many peers one end of a session can address in short datagrams at a time.
// Packets of further peers go in long datagrams.
const MaxChannels = 64

const (
	channelRest  = 10 * time.Second // a channel that was idle for so long may be given to another peer
	channelAgain = time.Second      // between two requests for the same channel
)

// bindSize is the size of the body of a bind or bound frame: channel, 2, and the peer's key.
const bindSize = 2 + mesh.KeySize

func bindBody(channel uint16, peer mesh.Key) []byte {
	return append(binary.BigEndian.AppendUint16(nil, channel), peer[:]...)
}

func parseBind(body []byte) (channel uint16, peer mesh.Key, ok bool) {
	if len(body) != bindSize {
		return 0, peer, false
	}
	channel = binary.BigEndian.Uint16(body)
	return channel, mesh.Key(body[2:]), channel >= 1 && channel <= MaxChannels
}

// channels are the numbers that this end has chosen for peers. A number can be used once the other
// end has confirmed it.
type channels struct {
	by   map[mesh.Key]*channel
	list []*channel // of number 1 and up
}

type channel struct {
	peer        mesh.Key
	number      uint16
	good        bool
	used, asked time.Time
}

// find returns the number of a peer, or 0 if there is no confirmed one. If ask is not 0, the caller
// sends a bind frame for that number.
func (c *channels) find(peer mesh.Key, now time.Time) (good, ask uint16) {
	ch := c.by[peer]
	if ch == nil {
		if ch = c.take(peer, now); ch == nil {
			return 0, 0
		}
	}
	ch.used = now
	switch {
	case ch.good:
		return ch.number, 0
	case now.Sub(ch.asked) < channelAgain:
		return 0, 0
	}
	ch.asked = now
	return 0, ch.number
}

// take assigns a number to a peer: an unused one, or one that has not been used for channelRest. It
// returns nil if there is none.
func (c *channels) take(peer mesh.Key, now time.Time) *channel {
	if c.by == nil {
		c.by = map[mesh.Key]*channel{}
	}
	var ch *channel
	if len(c.list) < MaxChannels {
		ch = &channel{number: uint16(len(c.list) + 1)}
		c.list = append(c.list, ch)
	} else {
		ch = c.list[0]
		for _, other := range c.list {
			if other.used.Before(ch.used) {
				ch = other
			}
		}
		if now.Sub(ch.used) < channelRest {
			return nil
		}
		delete(c.by, ch.peer)
	}
	*ch = channel{peer: peer, number: ch.number}
	c.by[peer] = ch
	return ch
}

// bound records that the other end has confirmed a number. A confirmation of an older request is
// ignored.
func (c *channels) bound(number uint16, peer mesh.Key) {
	if ch := c.by[peer]; ch != nil && ch.number == number {
		ch.good = true
	}
}
