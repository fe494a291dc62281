package relayserver

import (
	"slices"
	"time"

	"nexd/internal/bucket"
	"nexd/mesh"
	"nexd/relay"
)

// outgoing collects packets of a node for one peer, which are forwarded together.
type outgoing struct {
	to      mesh.Key
	packets [][]byte
}

// add adds the packet of a data frame. Packets for another peer in out are forwarded first.
func (s *Server) add(n *node, out *outgoing, body []byte) {
	to, packet, err := relay.ParseData(body)
	if err != nil {
		s.count.notSealed.Add(1)
		return
	}
	if to != out.to {
		s.forward(n, out)
		out.to = to
	}
	out.packets = append(out.packets, packet)
}

// forward forwards the collected packets, and empties out.
func (s *Server) forward(n *node, out *outgoing) {
	peer, packets := s.pass(n, out.to, out.packets)
	if len(packets) > 0 && !peer.udp.Send(n.key, packets...) {
		s.count.dropped.Add(peer.queue.PushAll(n.key, packets...))
	}
	out.packets = out.packets[:0]
}

// forwardRun forwards the packets of a run, as a run if all of them may be forwarded.
func (s *Server) forwardRun(n *node, to mesh.Key, packets [][]byte, run []byte, segment int) {
	came := len(packets)
	peer, packets := s.pass(n, to, packets)
	switch {
	case len(packets) == 0:
	case len(packets) == came && peer.udp.SendRun(n.key, run, segment):
	case len(packets) < came && peer.udp.Send(n.key, packets...):
	default:
		s.count.dropped.Add(peer.queue.PushAll(n.key, packets...))
	}
}

// pass returns the receiver of packets and the packets that it may get, and counts all.
func (s *Server) pass(n *node, to mesh.Key, packets [][]byte) (*node, [][]byte) {
	if len(packets) == 0 {
		return nil, nil
	}
	packets = slices.DeleteFunc(packets, func(p []byte) bool {
		if relay.ClassOf(p) != relay.NotSealed {
			return false
		}
		s.count.notSealed.Add(1)
		return true
	})
	size := sizeOf(packets)
	if !s.afford(n, size) {
		packets = slices.DeleteFunc(packets, func(p []byte) bool {
			if s.afford(n, len(p)) {
				return false
			}
			s.count.overBudget.Add(1)
			return true
		})
		size = sizeOf(packets)
	}
	peer := n.reach(to)
	if peer == nil {
		s.count.unknown.Add(uint64(len(packets)))
		return nil, nil
	}
	s.count.packets.Add(uint64(len(packets)))
	s.count.bytes.Add(uint64(size))
	return peer, packets
}

func sizeOf(packets [][]byte) (n int) {
	for _, p := range packets {
		n += len(p)
	}
	return n
}

// reach returns the node with a key, or nil if n cannot send to it.
func (n *node) reach(to mesh.Key) *node {
	if peer := n.room.find(to); peer != n && !n.leaving.Load() {
		return peer
	}
	return nil
}

// afford spends bytes of the budgets of the node and of its organization.
func (s *Server) afford(n *node, size int) bool {
	if s.cfg.NodeRate == (bucket.Rate{}) && s.cfg.OrgRate == (bucket.Rate{}) {
		return true
	}
	now := time.Now()
	n.mu.Lock()
	ok := n.budget.Take(s.cfg.NodeRate, float64(size), now)
	n.mu.Unlock()
	return ok && n.room.take(s.cfg.OrgRate, size, now)
}
