package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"nexd/control"
	"nexd/netmap"
	"nexd/node/datapath"
	"nexd/tunnel/candidates"
)

const (
	networkEvery  = 10 * time.Second       // between looks at the network where nothing tells of changes
	networkSettle = 200 * time.Millisecond // changes come in bursts
	sleptFor      = 5 * time.Second        // a jump of the wall clock that means the host slept
)

// network is the part of the host's network that its paths depend on: its addresses, and the
// source addresses of packets to the internet.
type network struct {
	addrs      []netip.AddrPort
	out4, out6 netip.Addr // invalid without a default route
}

func (n network) equal(o network) bool {
	return slices.Equal(n.addrs, o.addrs) && n.out4 == o.out4 && n.out6 == o.out6
}

// sourceOf returns the source address of packets to an address. It sends nothing. A process
// without a free descriptor cannot tell: then it returns last.
func sourceOf(network, to string, last netip.Addr) netip.Addr {
	c, err := net.Dial(network, to)
	if errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) {
		return last
	}
	if err != nil {
		return netip.Addr{}
	}
	defer c.Close()
	return c.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap()
}

// networkWatch notices new addresses, a new default route and the end of a sleep, and restarts the
// search for paths.
type networkWatch struct {
	self   *endpoints
	path   *datapath.Path
	mapped <-chan struct{} // STUN found something new
	moved  func()          // called when the endpoints of this node may have changed
	log    *slog.Logger
}

// read returns the network as it is now, or what is left of last where it cannot be read.
func (w *networkWatch) read(last network) network {
	return network{w.self.local(), sourceOf("udp4", "192.0.2.1:9", last.out4), sourceOf("udp6", "[2001:db8::1]:9", last.out6)}
}

// tell passes the endpoints of this node on to its peers and the service.
func (w *networkWatch) tell() {
	w.path.SetSelf(w.self.all())
	w.moved()
}

func (w *networkWatch) run(ctx context.Context) error {
	events := make(chan struct{}, 1)
	watch := make(chan struct{})
	go func() {
		defer close(watch)
		if err := networkEvents(ctx, events); err != nil {
			w.log.Debug("the system does not tell of network changes; looking from time to time", "err", err)
		}
	}()
	defer func() { <-watch }()
	last, clock := w.read(network{}), time.Now()
	w.tell()
	tick := time.NewTicker(networkEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-w.mapped:
			w.tell()
			continue
		case <-events:
			if !settle(ctx, events) {
				return nil
			}
		case <-tick.C:
		}
		t := time.Now()
		woke := slept(t.Sub(clock), t.Round(0).Sub(clock.Round(0)))
		clock = t
		now := w.read(last)
		if now.equal(last) && !woke {
			continue
		}
		w.log.Info("network changed", "addrs", now.addrs, "out4", now.out4, "out6", now.out6, "slept", woke)
		last = now
		w.tell()
		w.path.NetworkChanged()
	}
}

// slept reports whether the wall clock advanced while the monotonic clock stood still.
func slept(own, wall time.Duration) bool { return wall-own > sleptFor }

// settle waits until a burst of events is over. It returns false when ctx ends.
func settle(ctx context.Context, events <-chan struct{}) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(networkSettle):
	}
	select {
	case <-events:
	default:
	}
	return true
}

// endpoints finds the addresses at which peers may reach this node.
type endpoints struct {
	advertised []netip.AddrPort // named by its user
	path       *datapath.Path
	view       *atomic.Pointer[netmap.View]
	log        *slog.Logger
	read       atomic.Pointer[[]candidates.Candidate] // by host, the last time that it could
	warned     sync.Map                               // addresses that the user named and that the log calls unused, with the reason
}

// host returns the addresses of this host. If it cannot read them, as in a process without a free
// descriptor, it returns those that it read last.
func (e *endpoints) host() []candidates.Candidate {
	all, err := e.path.Candidates(e.view.Load().Pools)
	if err == nil {
		e.read.Store(&all)
		return all
	}
	e.log.Debug("addresses of this host not read", "err", err)
	if last := e.read.Load(); last != nil {
		return *last
	}
	return nil
}

// local returns the addresses of this host at which peers may reach it.
func (e *endpoints) local() []netip.AddrPort {
	e.path.LookAtExcluded()
	return candidates.Offered(e.host())
}

// all returns the addresses that the user named, those that STUN found, and those of the host. It
// logs once why one that the user named is not among them.
func (e *endpoints) all() (out []netip.AddrPort) {
	for _, c := range e.describe() {
		switch {
		case c.State == candidateOffered:
			out = append(out, c.Addr)
		case c.From == fromUser:
			if was, _ := e.warned.Swap(c.Addr, c.Why); was != c.Why {
				e.log.Warn("the advertised endpoint is not used", "addr", c.Addr, "why", c.Why)
			}
		}
	}
	return out
}

// What Candidate.From and Candidate.State say of this node's addresses.
const (
	fromUser         = "named"
	fromSTUN         = "STUN"
	candidateOffered = "offered"
	candidateRefused = "refused"
)

// describe returns all addresses, and why some are not offered.
func (e *endpoints) describe() []Candidate {
	return describe(e.advertised, e.path.Mapped().Addrs, e.host(), e.path.Why)
}

// named returns those of describe that the user named, without a look at the host's interfaces.
func (e *endpoints) named() []Candidate { return describe(e.advertised, nil, nil, e.path.Why) }

// describe puts this node's addresses in their order. refused says why one may not be a path.
func describe(named, mapped []netip.AddrPort, host []candidates.Candidate, refused func(netip.Addr) string) (out []Candidate) {
	known, offered := map[netip.AddrPort]bool{}, 0
	add := func(addr netip.AddrPort, from, why string) {
		if known[addr] {
			return
		}
		known[addr] = true
		c := Candidate{Addr: addr, From: from, State: candidateOffered, Why: why}
		if c.Why == "" {
			c.Why = refused(addr.Addr())
		}
		if c.Why == "" && offered == control.MaxEndpoints {
			c.Why = fmt.Sprintf("more than %d addresses", control.MaxEndpoints)
		}
		if c.Why != "" {
			c.State = candidateRefused
		} else {
			offered++
		}
		out = append(out, c)
	}
	for _, a := range named {
		add(a, fromUser, "")
	}
	for _, a := range mapped {
		add(a, fromSTUN, "")
	}
	for _, c := range host {
		add(c.Addr, c.Interface, c.Skipped)
	}
	return out
}
