package netcheck

import (
	"context"
	"errors"
	"strings"
	"time"

	"nexd/control"
	"nexd/mesh"
	"nexd/relay"
)

// Times of the test of the relay.
const (
	relayLook = 20 * time.Millisecond   // between checks of the client's state
	relayPing = 250 * time.Millisecond  // between pings
	relayUDP  = 1500 * time.Millisecond // how long to wait for datagrams, once connected
)

// checkRelay connects to the relay as the node, measures, and disconnects.
func (c *checker) checkRelay(ctx context.Context, health control.Health) {
	r := &c.report.Relay
	switch {
	case !c.report.Service.Reachable:
		r.Why = "the service cannot be reached"
		return
	case c.cfg.Relay != nil:
		*r = *c.cfg.Relay
		return
	case !health.Relay:
		r.State, r.Why, r.UDP = RelayAbsent, "the service has no relay", Absent
		return
	case c.cfg.Key.IsZero():
		r.State, r.RTT = RelayNotAsked, c.report.Service.RTT
		r.Why = "it admits only nodes, and this host has no node yet; the time is that of HTTPS"
		return
	}
	c.say("the relay")
	if err := c.tryRelay(ctx, r); err != nil {
		r.State, r.Why = RelayFailed, strings.TrimPrefix(strings.TrimPrefix(err.Error(), "control: "), "relay: ")
	}
}

func (c *checker) tryRelay(ctx context.Context, r *Relay) error {
	tok, err := c.client.RelayToken(ctx)
	switch {
	case mesh.KindOf(err) == mesh.Denied:
		r.State, r.RTT = RelayNotAsked, c.report.Service.RTT
		r.Why = "the service does not know this node; the time is that of HTTPS"
		return nil
	case err != nil:
		return err
	case len(tok.URLs) == 0:
		r.State, r.Why, r.UDP = RelayAbsent, "the service has no relay", Absent
		return nil
	}
	t := relay.Token{Text: tok.Token, Expires: tok.Expires, URL: tok.URLs[0]}
	if len(tok.UDP) > 0 {
		t.UDP = tok.UDP[0]
	} else {
		r.UDP = Absent
	}
	client, err := relay.New(relay.Config{
		Token: func(context.Context) (relay.Token, error) { return t, nil }, Key: c.cfg.Key, Receive: func(mesh.Key, ...[]byte) {},
		HTTP: c.client.HTTP(), PingEvery: relayPing, Logger: c.cfg.Logger,
	})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() { defer close(ended); client.Run(ctx) }()
	defer func() { cancel(); <-ended }()
	began := time.Now()
	var connected time.Time
	for {
		ok, why, rtt := client.Connected()
		if ok && connected.IsZero() {
			connected, r.State, r.Connect = time.Now(), RelayConnected, ms(time.Since(began))
		}
		datagrams := client.Stats().Datagrams > 0
		if datagrams {
			r.UDP = Passes
		}
		if ok && rtt > 0 {
			r.RTT = ms(rtt)
			late := time.Since(connected) > relayUDP
			if late && r.UDP == Unknown {
				r.UDP = Blocked
			}
			if r.UDP != Unknown {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			if connected.IsZero() {
				return errors.New("not connected in time: " + why)
			}
			return nil
		case <-time.After(relayLook):
		}
	}
}
