package relay

import (
	"nexd/mesh"
)

// batch collects the packets of one peer that are delivered together.
type batch struct {
	from    mesh.Key
	packets [][]byte
}

// data adds the packet of a data frame.
func (s *session) data(got *batch, body []byte) {
	from, packet, err := ParseData(body)
	if err != nil {
		s.c.refused.Add(1)
		return
	}
	s.packet(got, from, packet)
}

// packet adds a packet to the batch. Packets of another peer in the batch are delivered first.
func (s *session) packet(got *batch, from mesh.Key, packet []byte) {
	if ClassOf(packet) == NotSealed {
		s.c.refused.Add(1)
		return
	}
	if from != got.from {
		s.deliver(got)
		got.from = from
	}
	got.packets = append(got.packets, packet)
}

// deliver passes the batch to Config.Receive, and empties it.
func (s *session) deliver(got *batch) {
	if len(got.packets) == 0 {
		return
	}
	s.c.received.Add(uint64(len(got.packets)))
	s.receiving.Lock()
	s.c.cfg.Receive(got.from, got.packets...)
	s.receiving.Unlock()
	got.packets = got.packets[:0]
}
