package agent

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"time"

	"nexd/control"
	"nexd/tunnel/reflexive"
	"nexd/tunnel/underlay"
)

const (
	networkEvery  = 10 * time.Second       // between looks at the network where nothing tells of changes
	networkSettle = 200 * time.Millisecond // changes come in bursts
	sleptFor      = 5 * time.Second        // a jump of the wall clock that means the host slept
)

// network is what of this host's network matters to its paths: its addresses, and
// which of them packets leave from.
type network struct {
	addrs      []netip.AddrPort
	out4, out6 netip.Addr // invalid without a default route
}

func (n network) equal(o network) bool {
	return slices.Equal(n.addrs, o.addrs) && n.out4 == o.out4 && n.out6 == o.out6
}

// look reads the network as it is now.
func (n *node) look() network {
	return network{n.localEndpoints(), leavingFrom("udp4", "192.0.2.1:9"), leavingFrom("udp6", "[2001:db8::1]:9")}
}

// leavingFrom is the address from which packets to a distant one leave. Nothing is
// sent.
func leavingFrom(network, to string) netip.Addr {
	c, err := net.Dial(network, to)
	if err != nil {
		return netip.Addr{}
	}
	defer c.Close()
	return c.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap()
}

// watchNetwork notices other addresses, another way out and the end of a sleep,
// and has paths looked for anew.
func (n *node) watchNetwork(ctx context.Context) error {
	events := make(chan struct{}, 1)
	watch := make(chan struct{})
	go func() {
		defer close(watch)
		if err := networkEvents(ctx, events); err != nil {
			n.log.Debug("the system does not tell of network changes; looking from time to time", "err", err)
		}
	}()
	defer func() { <-watch }()
	last, clock := n.look(), time.Now()
	n.outside()
	tick := time.NewTicker(networkEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-n.mapped:
			n.outside()
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
		now := n.look()
		if now.equal(last) && !woke {
			continue
		}
		n.log.Info("network changed", "addrs", now.addrs, "out4", now.out4, "out6", now.out6, "slept", woke)
		last = now
		n.outside()
		n.path.bind.NetworkChanged()
		if n.relay != nil {
			n.relay.client.Probe()
		}
	}
}

// slept says whether the wall clock went on while the process' own did not.
func slept(own, wall time.Duration) bool { return wall-own > sleptFor }

// settle waits until a burst of events is over; false when ctx has ended.
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

// outside passes on where this node may be found: to its peers by the data path,
// to the service by the member's loop.
func (n *node) outside() {
	n.path.bind.SetSelf(n.endpoints())
	if n.member != nil {
		n.member.poke()
	}
}

// onMapped is told on the data path's goroutine that STUN found something new.
func (n *node) onMapped(reflexive.Mapped) {
	select {
	case n.mapped <- struct{}{}:
	default:
	}
}

// localEndpoints are the addresses at which this host's WireGuard socket may be
// reached, as far as the host itself knows.
func (n *node) localEndpoints() []netip.AddrPort {
	local, err := underlay.LocalCandidates(n.path.bind.LocalPort(), n.view.Load().Routed())
	if err != nil {
		n.log.Debug("addresses of this host not read", "err", err)
	}
	return local
}

// endpoints are all addresses at which this node may be reached: those its user
// named, those seen from outside, those of the host.
func (n *node) endpoints() []netip.AddrPort {
	var out []netip.AddrPort
	for _, a := range slices.Concat(n.cfg.AdvertiseEndpoints, n.path.bind.Mapped().Addrs, n.localEndpoints()) {
		if !slices.Contains(out, a) {
			out = append(out, a)
		}
	}
	return out[:min(len(out), control.MaxEndpoints)]
}
