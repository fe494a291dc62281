package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"sync"

	"nexd/control"
	"nexd/internal/bucket"
	"nexd/internal/pktinfo"
	"nexd/internal/program"
	"nexd/mesh"
	"nexd/service"
	"nexd/service/relayserver"
	"nexd/service/store"
	"nexd/service/stun"
)

// traversalFlags set up NAT traversal: STUN, and the relay for nodes without a direct
// path.
type traversalFlags struct {
	STUNListen    []string `name:"stun-listen" help:"UDP listening address of the STUN server, which tells nodes their public addresses; repeatable. With two ports or addresses, nodes learn whether their NAT's mapping depends on the destination. Nodes are told ADDR, or the service's own host if ADDR has none." placeholder:"ADDR"`
	Relay         string   `name:"relay" help:"Relay encrypted packets between nodes without a direct path: on or off." default:"on" enum:"on,off"`
	RelayNodeRate string   `name:"relay-node-rate" help:"Relay limit per node in bytes per second, such as 500K, 20M or 1G; 0 means unlimited." default:"125M" placeholder:"BYTES"`
	RelayOrgRate  string   `name:"relay-org-rate" help:"Relay limit per organization in bytes per second; 0 means unlimited." default:"500M" placeholder:"BYTES"`
	RelayMaxNodes int      `name:"relay-max-nodes" help:"Maximum nodes connected to the relay." default:"20000" placeholder:"N"`

	nodeRate, orgRate bucket.Rate
}

func (f *traversalFlags) checkTraversal() (err error) {
	if f.nodeRate, err = parseRate("--relay-node-rate", f.RelayNodeRate); err != nil {
		return err
	}
	if f.orgRate, err = parseRate("--relay-org-rate", f.RelayOrgRate); err != nil {
		return err
	}
	if f.RelayMaxNodes < 1 {
		return program.Usagef("--relay-max-nodes=%d; at least 1", f.RelayMaxNodes)
	}
	for _, at := range f.STUNListen {
		if _, port, err := net.SplitHostPort(at); err != nil || port == "" {
			return program.Usagef("--stun-listen=%s is not of the form [HOST]:PORT", at)
		}
	}
	return nil
}

// parseRate reads a rate in bytes a second, with an optional K, M or G (powers of
// 1000). The burst is a fifth of a second's worth, but at least 1 MB.
func parseRate(flag, text string) (bucket.Rate, error) {
	digits, factor := text, 1.0
	for unit, by := range map[string]float64{"K": 1e3, "M": 1e6, "G": 1e9} {
		if d, ok := strings.CutSuffix(strings.ToUpper(text), unit); ok {
			digits, factor = d, by
		}
	}
	n, err := strconv.ParseUint(digits, 10, 40)
	if err != nil {
		return bucket.Rate{}, program.Usagef("%s=%s is not a number of bytes such as 500K, 20M or 1G", flag, text)
	}
	if n == 0 {
		return bucket.Rate{}, nil
	}
	r := float64(n) * factor
	return bucket.Rate{PerSecond: r, Burst: max(r/5, 1e6)}, nil
}

// traversal is the relay and the STUN sockets that traversalFlags ask for.
type traversal struct {
	relay *relayserver.Server // nil = off
	stun  *stun.Server
	socks []*pktinfo.Conn
	log   *slog.Logger
}

// traversal makes the relay and opens the STUN sockets.
func (f *traversalFlags) traversal(meta store.Meta, log *slog.Logger) (_ *traversal, err error) {
	c := &traversal{stun: stun.New(stun.Config{Logger: log}), log: log}
	if f.Relay == "on" {
		key, err := control.RelayKey(meta.Secret)
		if err != nil {
			return nil, err
		}
		c.relay, err = relayserver.New(relayserver.Config{
			TokenKey: key, NodeRate: f.nodeRate, OrgRate: f.orgRate, MaxNodes: f.RelayMaxNodes, ClientAddr: service.ClientAddr, Logger: log,
		})
		if err != nil {
			return nil, err
		}
	}
	for _, at := range f.STUNListen {
		sock, err := stun.Listen(at)
		if err != nil {
			c.close()
			return nil, fmt.Errorf("--stun-listen=%s: %w", at, err)
		}
		c.socks = append(c.socks, sock)
		log.Info("answering STUN", "addr", sock.LocalAddr())
	}
	return c, nil
}

func (c *traversal) close() {
	for _, s := range c.socks {
		s.Close()
	}
}

// advertised is what the service tells its nodes about the relay and STUN.
func (c *traversal) advertised() service.Relay {
	var r service.Relay
	if c.relay != nil {
		r.Handler = c.relay
	}
	for _, s := range c.socks {
		at := s.LocalAddr().(*net.UDPAddr)
		if at.IP.IsUnspecified() {
			r.STUN = append(r.STUN, fmt.Sprintf(":%d", at.Port))
		} else {
			r.STUN = append(r.STUN, at.AddrPort().String())
		}
	}
	if c.relay != nil && len(r.STUN) > 0 {
		r.UDP = r.STUN[:1] // the same sockets
	}
	return r
}

// removed disconnects a node that an organization no longer has from the relay.
func (c *traversal) removed(org mesh.OrgID, key mesh.Key) {
	if c.relay != nil {
		c.relay.Drop(org, key)
	}
}

// run serves until ctx ends. A part that fails is logged and does not stop the
// others: nodes can do without it.
func (c *traversal) run(ctx context.Context) {
	var tasks sync.WaitGroup
	defer tasks.Wait()
	if c.relay != nil {
		tasks.Go(func() { c.logEnd(c.relay.Run(ctx)) })
	}
	answering := make([]*stun.Socket, len(c.socks))
	for i, s := range c.socks {
		answering[i] = c.stun.On(s)
	}
	for i, s := range c.socks {
		if c.relay != nil {
			tasks.Go(func() { c.logEnd(c.relay.ServeUDP(ctx, s.UDPConn, answering[i].Answer)) })
		} else {
			tasks.Go(func() { c.logEnd(answering[i].Serve(ctx, s)) })
		}
	}
}

func (c *traversal) logEnd(err error) {
	if err != nil {
		c.log.Error("relay or STUN ended", "err", err)
	}
}
