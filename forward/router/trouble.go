package router

import (
	"errors"
	"fmt"
	"sync"
	"syscall"
	"time"

	"nexd/internal/budget"
	"nexd/mesh"
)

// troubleLife is how long a limit counts as reached after it turned a flow away.
const troubleLife = 30 * time.Second

// limitKind is a reason to turn a flow away although the target may be well.
type limitKind uint8

const (
	tooManySockets limitKind = iota // the peer has its share of the sockets
	tooManyFlows                    // the peer has as many connections or UDP flows as one peer may
	tooManyDials                    // the peer has too many incomplete connections
	tooManyPings
	noSocket // the host has no descriptor, port or memory left
	limitKinds
)

// limitOf is the limit of one peer's flows of a protocol.
func limitOf(protocol string) limitKind {
	if protocol == "icmp" {
		return tooManyPings
	}
	return tooManyFlows
}

// troubles are the limits that turned flows away, each with the latest peer.
type troubles struct {
	mu    sync.Mutex
	since [limitKinds]time.Time
	last  [limitKinds]time.Time
	text  [limitKinds]string
}

// note records that a limit was reached. It returns the description of it, and true if it was not
// reached before.
func (t *troubles) note(k limitKind, describe func() string, now time.Time) (text string, begins bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	begins = now.Sub(t.last[k]) > troubleLife
	if begins {
		t.since[k] = now
	}
	if begins || now.Sub(t.last[k]) > time.Second { // a flood must not cost a text for each packet
		t.text[k] = describe()
		t.last[k] = now
	}
	return t.text[k], begins
}

// limit counts a flow that a limit turns away, and logs when that begins.
func (r *Router) limit(f *flow, k limitKind, err error) {
	o := limited
	if k == noSocket {
		o = exhausted
	}
	r.count.outcomes[o].Add(1)
	text, begins := r.trouble.note(k, func() string { return r.describe(f, k, err) }, time.Now())
	if begins {
		r.cfg.Logger.Warn("router: new flows are turned away", "why", text, "peer", f.peer, "addr", f.target)
	}
}

// describe says which limit was reached, by whom, and what to do.
func (r *Router) describe(f *flow, k limitKind, err error) string {
	l := r.cfg.Limits
	switch k {
	case tooManySockets:
		its, all := r.accounts.held(f.peer, sockets)
		wayOut := "limit of open files (LimitNOFILE=, ulimit -n)"
		if l.Sockets >= r.cfg.Budget.Most(budget.TCP) {
			wayOut = "--memory-limit"
		}
		return fmt.Sprintf("%s holds %d of %d sockets of this router, and all peers %d; more need a higher %s", f.peer, its, l.Sockets, all, wayOut)
	case tooManyFlows:
		if f.protocol == "udp" {
			return fmt.Sprintf("%s has %d UDP flows, the most that one peer may have", f.peer, l.UDPFlows)
		}
		return fmt.Sprintf("%s has %d connections, the most that one peer may have", f.peer, l.Conns)
	case tooManyDials:
		return fmt.Sprintf("%s has too many incomplete connections, the latest to %v; it floods this router, or the target does not answer", f.peer, f.target)
	case tooManyPings:
		return fmt.Sprintf("%s waits for the answers to %d pings already", f.peer, l.Pings)
	}
	if errors.Is(err, syscall.EADDRNOTAVAIL) {
		return fmt.Sprintf("this host has no free port for another connection to %v; set net.ipv4.tcp_tw_reuse=1, or a larger net.ipv4.ip_local_port_range", f.target)
	}
	return fmt.Sprintf("this host has no socket left for a connection to %v: %v; raise the limit of open files (LimitNOFILE=, ulimit -n)", f.target, err)
}

// CodeLimit is the code of the problems of a router.
const CodeLimit = "router-limit"

// Problems are the limits that turned flows away within the last half minute.
func (r *Router) Problems() (all []mesh.Problem) {
	t := &r.trouble
	t.mu.Lock()
	defer t.mu.Unlock()
	for k := range limitKinds {
		if !t.last[k].IsZero() && time.Since(t.last[k]) <= troubleLife {
			all = append(all, mesh.Problem{Code: CodeLimit, What: "the router turns new flows away", Since: t.since[k], Why: t.text[k]})
		}
	}
	return all
}
