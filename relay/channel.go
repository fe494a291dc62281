package relay

import (
	"encoding/binary"
	"time"

	"nexd/mesh"
)

// MaxChannels is how many peers one side of a session can have in short datagrams at
// a time. A peer beyond them goes in long ones.
const MaxChannels = 64

const (
	channelRest  = 10 * time.Second // a channel unused for so long is given to another peer
	channelAgain = time.Second      // between two requests for the same channel
)

// bindSize is the body of a bind or bound frame: channel, 2, and the peer's key.
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

// channels are the numbers that this side has chosen for the peers it sends to, or
// from: one is good when the other side has said that it knows it.
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

// find is the number for a peer, 0 if there is no good one. With ask the other side
// is to be told of number.
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

// take gives a peer a number that nobody has, or nobody has used for long; nil if
// there is none.
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

// bound notes that the other side knows a number. An answer to an older request is
// of no use any more.
func (c *channels) bound(number uint16, peer mesh.Key) {
	if ch := c.by[peer]; ch != nil && ch.number == number {
		ch.good = true
	}
}
