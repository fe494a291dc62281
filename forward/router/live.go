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

// live holds the flows there are, and the advertisements that allow them: both
// under one lock, so that no flow slips in beside a withdrawal.
type live struct {
	wg sync.WaitGroup // one for every flow between begin and end

	mu      sync.Mutex
	running bool
	table   table
	flows   map[*flow]struct{}
}

// flow is one connection, UDP flow or round of pings on its way or open.
type flow struct {
	protocol            string
	peer                string
	source, destination netip.AddrPort
	target              netip.AddrPort
	since               time.Time
	stop                context.CancelFunc // ends the flow; any goroutine, any number of times

	open               atomic.Bool
	toTarget, toClient atomic.Int64
}

// begin admits a flow and makes the context it lives under. A nil flow is not
// admitted, for the reason told. Every flow that is not nil needs an end.
func (l *live) begin(protocol, peer string, src, dst netip.AddrPort) (*flow, context.Context, outcome) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.running {
		return nil, nil, abandoned
	}
	target, ok := l.table.target(dst)
	if !ok {
		return nil, nil, prohibited
	}
	ctx, stop := context.WithCancel(context.Background())
	f := &flow{protocol: protocol, peer: peer, source: src, destination: dst, target: target, since: time.Now(), stop: stop}
	l.flows[f] = struct{}{}
	l.wg.Add(1)
	return f, ctx, connected
}

func (l *live) end(f *flow) {
	f.stop()
	l.mu.Lock()
	delete(l.flows, f)
	l.mu.Unlock()
	l.wg.Done()
}

// start lets flows in, once.
func (l *live) start() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.running || l.flows == nil {
		return false
	}
	l.running = true
	return true
}

// finish lets no more flows in, ends all and waits until they are gone.
func (l *live) finish() {
	l.mu.Lock()
	l.running = false
	flows := keys(l.flows)
	l.mu.Unlock()
	for _, f := range flows {
		f.stop()
	}
	l.wg.Wait()
	l.mu.Lock()
	l.flows = nil // start never again
	l.mu.Unlock()
}

// replace sets the table and returns the flows it no longer allows.
func (l *live) replace(advertised []mesh.Advertisement) (over []*flow) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.table = newTable(advertised, l.table.allow)
	for f := range l.flows {
		if target, ok := l.table.target(f.destination); !ok || target != f.target {
			over = append(over, f)
		}
	}
	return over
}

// Flow is one connection or UDP flow through the router, for people to look at.
type Flow struct {
	Protocol    string         `json:"protocol"` // tcp, udp, or icmp for a ping under way
	Peer        string         `json:"peer"`
	Source      netip.AddrPort `json:"source"`
	Destination netip.AddrPort `json:"destination"` // as the mesh sees it
	Target      netip.AddrPort `json:"target"`      // as this host dials it
	Open        bool           `json:"open"`        // false: still being dialled
	Since       time.Time      `json:"since"`
	ToTarget    int64          `json:"to_target_bytes"`
	ToClient    int64          `json:"to_client_bytes"`
}

func (l *live) list() []Flow {
	l.mu.Lock()
	flows := keys(l.flows)
	l.mu.Unlock()
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
