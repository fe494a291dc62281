package router

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"nexd/mesh"
)

// flowSet holds the current flows and the advertisements that allow them. Both are under one lock,
// so that no flow begins while its prefix is withdrawn.
type flowSet struct {
	wg sync.WaitGroup // one for each flow between begin and end

	mu      sync.Mutex
	running bool
	table   table
	flows   map[*flow]struct{}
}

// flow is one connection, UDP flow or ping, dialling or open.
type flow struct {
	protocol            string
	peer                string
	source, destination netip.AddrPort
	target              netip.AddrPort
	since               time.Time
	socket              bool               // the peer's account has a socket for it
	stop                context.CancelFunc // ends the flow; may be called from any goroutine, more than once

	open               atomic.Bool
	questions          atomic.Int32 // to a name server, without an answer yet
	toTarget, toClient atomic.Int64
}

// begin admits a flow and makes its context. If it does not admit the flow, it returns nil and the
// outcome to answer with. The caller calls end for each flow that it got.
func (s *flowSet) begin(protocol, peer string, src, dst netip.AddrPort) (*flow, context.Context, outcome) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.running {
		return nil, nil, abandoned
	}
	target, ok := s.table.target(dst)
	if !ok {
		return nil, nil, prohibited
	}
	ctx, stop := context.WithCancel(context.Background())
	f := &flow{protocol: protocol, peer: peer, source: src, destination: dst, target: target, since: time.Now(), stop: stop}
	s.flows[f] = struct{}{}
	s.wg.Add(1)
	return f, ctx, connected
}

func (s *flowSet) end(f *flow) {
	f.stop()
	s.mu.Lock()
	delete(s.flows, f)
	s.mu.Unlock()
	s.wg.Done()
}

// start makes begin admit flows. It returns false when called again.
func (s *flowSet) start() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running || s.flows == nil {
		return false
	}
	s.running = true
	return true
}

// finish admits no more flows, ends all and waits until they are gone.
func (s *flowSet) finish() {
	s.mu.Lock()
	s.running = false
	flows := keys(s.flows)
	s.mu.Unlock()
	for _, f := range flows {
		f.stop()
	}
	s.wg.Wait()
	s.mu.Lock()
	s.flows = nil // so that start fails from now on
	s.mu.Unlock()
}

// replace sets the table and returns the flows that it no longer allows.
func (s *flowSet) replace(advertised []mesh.Advertisement) (over []*flow) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.table = newTable(advertised, s.table.allow)
	for f := range s.flows {
		if target, ok := s.table.target(f.destination); !ok || target != f.target {
			over = append(over, f)
		}
	}
	return over
}

// Flow describes one flow through the router, for people to look at.
type Flow struct {
	Protocol    string         `json:"protocol"` // tcp, udp, or icmp for a ping
	Peer        string         `json:"peer"`
	Source      netip.AddrPort `json:"source"`
	Destination netip.AddrPort `json:"destination"` // as the mesh sees it
	Target      netip.AddrPort `json:"target"`      // as this host dials it
	Open        bool           `json:"open"`        // false: still being dialled
	Since       time.Time      `json:"since"`
	ToTarget    int64          `json:"to_target_bytes"`
	ToClient    int64          `json:"to_client_bytes"`
}

func (s *flowSet) list() []Flow {
	s.mu.Lock()
	flows := keys(s.flows)
	s.mu.Unlock()
	out := make([]Flow, len(flows))
	for i, f := range flows {
		out[i] = Flow{
			Protocol: f.protocol, Peer: f.peer, Source: f.source, Destination: f.destination, Target: f.target,
			Open: f.open.Load(), Since: f.since, ToTarget: f.toTarget.Load(), ToClient: f.toClient.Load(),
		}
	}
	slices.SortFunc(out, func(a, b Flow) int { return a.Since.Compare(b.Since) })
	return out
}

func keys(m map[*flow]struct{}) []*flow {
	out := make([]*flow, 0, len(m))
	for f := range m {
		out = append(out, f)
	}
	return out
}
