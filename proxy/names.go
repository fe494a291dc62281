package proxy

import (
	"bytes"
	"context"
	"net/netip"
	"sync"
	"time"
)

// Limits of the names one association talks to.
const (
	maxNames    = 64               // known at a time
	maxWaiting  = 16               // datagrams kept for a name while it is resolved
	nameLife    = time.Minute      // until a name is resolved again
	nameFailed  = 5 * time.Second  // the same after a failure
	nameTimeout = 10 * time.Second // of one resolution
)

// names resolves the domain names that an association's datagrams go to. Each is resolved from time
// to time, and datagrams to other targets do not wait for it.
type names struct {
	resolve func(ctx context.Context, host string) ([]netip.Addr, error)
	deliver func(to netip.AddrPort, data []byte)

	mu    sync.Mutex
	known map[string]*name
}

type name struct {
	addr    netip.Addr // not valid while the name is resolved, or after a failure
	until   time.Time  // when the name is resolved again; zero while it is resolved
	waiting []waitingDatagram
}

type waitingDatagram struct {
	port uint16
	data []byte
}

// send delivers a datagram, or keeps it while a goroutine of wg resolves its name.
func (n *names) send(ctx context.Context, wg *sync.WaitGroup, to target, data []byte) {
	addr, lookUp := n.find(to, data)
	if lookUp {
		wg.Go(func() { n.lookUp(ctx, to.name) })
	}
	if addr.IsValid() {
		n.deliver(netip.AddrPortFrom(addr, to.port), data)
	}
}

func (n *names) find(to target, data []byte) (addr netip.Addr, lookUp bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	now := time.Now()
	e := n.known[to.name]
	if e == nil {
		if !n.room(now) {
			return netip.Addr{}, false
		}
		e = &name{until: now}
		n.known[to.name] = e
	}
	if !e.until.IsZero() && now.Before(e.until) {
		return e.addr, false
	}
	lookUp = !e.until.IsZero()
	e.until = time.Time{}
	if e.addr.IsValid() { // the old address is used until the new one is known
		return e.addr, lookUp
	}
	if len(e.waiting) < maxWaiting {
		e.waiting = append(e.waiting, waitingDatagram{to.port, bytes.Clone(data)})
	}
	return netip.Addr{}, lookUp
}

// room makes room for one more name. It forgets an expired one, or else any that is not being
// resolved.
func (n *names) room(now time.Time) bool {
	if len(n.known) < maxNames {
		return true
	}
	victim := ""
	for key, e := range n.known {
		if e.until.IsZero() {
			continue
		}
		victim = key
		if now.After(e.until) {
			break
		}
	}
	if victim == "" {
		return false
	}
	delete(n.known, victim)
	return true
}

func (n *names) lookUp(ctx context.Context, host string) {
	ctx, cancel := context.WithTimeout(ctx, nameTimeout)
	defer cancel()
	addrs, err := n.resolve(ctx, host)
	n.mu.Lock()
	e := n.known[host]
	waiting := e.waiting
	e.waiting, e.addr, e.until = nil, netip.Addr{}, time.Now().Add(nameFailed)
	if err == nil && len(addrs) > 0 {
		e.addr, e.until = addrs[0].Unmap(), time.Now().Add(nameLife)
	}
	addr := e.addr
	n.mu.Unlock()
	if !addr.IsValid() {
		return
	}
	for _, w := range waiting {
		n.deliver(netip.AddrPortFrom(addr, w.port), w.data)
	}
}
