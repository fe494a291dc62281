package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"text/tabwriter"
	"time"

	"nexd/agent"
	"nexd/agent/localapi"
	"nexd/control"
	"nexd/internal/program"
	"nexd/internal/stun"
	"nexd/mesh"
	"nexd/netcheck"
	"nexd/node"
	"nexd/node/state"
)

type netcheckCmd struct {
	JSON       bool   `name:"json" help:"Print JSON with a stable schema (docs/netcheck.md)." env:"-"`
	ServiceURL string `arg:"" optional:"" name:"service-url" help:"URL of the service (default: NEXD_SERVICE_URL, or the service that this node has joined)."`

	url string
}

// agentPatience is the time limit for the running node's status.
const agentPatience = time.Second

// Check chooses the service to test.
func (n *netcheckCmd) Check(c *cli) (err error) {
	c.Map = "" // netcheck needs a service, even if the environment names a static map
	n.url, err = c.serviceURL(n.ServiceURL)
	return err
}

// Run chooses the node's identity and runs the test.
func (n *netcheckCmd) Run(ctx context.Context, c *cli) error {
	dir, err := c.stateDir()
	if err != nil && n.url == "" {
		return err
	}
	client, err := c.client()
	if err != nil && n.url == "" {
		return err
	}
	cfg, err := c.netcheckConfig(n.url, dir)
	if err != nil {
		return err
	}
	if client != nil {
		askAgent(ctx, client, &cfg)
	}
	return n.measure(ctx, cfg, c.std)
}

// netcheckConfig combines the URL with the identity in the state directory, whose key it
// uses only for the service that the key belongs to.
func (c *cli) netcheckConfig(text, dir string) (cfg netcheck.Config, err error) {
	cfg.Version, cfg.Insecure, cfg.Proxy = program.Version(), c.InsecureHTTP, c.serviceProxy()
	if cache, err := os.UserCacheDir(); err == nil {
		cfg.Memory = filepath.Join(cache, "nexd", "netcheck.json")
	}
	known, kerr := state.Joined{}, mesh.Errorf(mesh.NotFound, "no state directory")
	if dir != "" {
		known, kerr = state.ReadJoined(dir)
	}
	if kerr != nil && mesh.KindOf(kerr) != mesh.NotFound && (c.StateDir != "" || text == "") {
		return cfg, kerr
	}
	if text == "" {
		if kerr != nil {
			return cfg, program.Usagef("no service URL given, and %w", kerr)
		}
		cfg.URL = known.Service
	} else if cfg.URL, err = control.ParseJoinURL(text); err != nil {
		return cfg, err
	}
	if kerr != nil || known.Service.Base() != cfg.URL.Base() {
		return cfg, nil
	}
	if cfg.URL.Pin.IsZero() {
		cfg.URL.Pin = known.Service.Pin
	}
	if !cfg.URL.Pin.Equal(known.Service.Pin) {
		return cfg, nil
	}
	cfg.Insecure = cfg.Insecure || known.Service.Scheme == "http" // allowed when it joined
	if cfg.Key = known.Key; known.Running {
		cfg.Relay = &netcheck.Relay{
			State: netcheck.RelayNotAsked, Why: "a node is running with this identity and does not report its relay; a second connection would end its connection", UDP: netcheck.Unknown,
		}
	}
	return cfg, nil
}

// askAgent asks the running node about its relay connection and its socket.
func askAgent(ctx context.Context, client *localapi.Client, cfg *netcheck.Config) {
	ctx, cancel := context.WithTimeout(ctx, agentPatience)
	defer cancel()
	st, err := client.Status(ctx)
	if err != nil || st.Service.URL != cfg.URL.Base() {
		return
	}
	if o := st.Outside; o != nil {
		cfg.Node = &netcheck.Node{Outside: o.Addresses, Mapping: stun.Mapping(o.Mapping)}
	}
	r := st.Relay
	if r == nil {
		return
	}
	seen := &netcheck.Relay{State: netcheck.RelayConnected, RTT: r.RTT, UDP: netcheck.Unknown}
	if r.UDP {
		seen.UDP = netcheck.Passes
	}
	if !r.Connected {
		seen.State, seen.Why = netcheck.RelayFailed, "the running node reports: "+r.Why
	}
	if r.Why == node.ErrNoRelay.Error() {
		seen.State, seen.UDP = netcheck.RelayAbsent, netcheck.Absent
	}
	cfg.Relay = seen
}

// measure runs netcheck and prints its report.
func (n *netcheckCmd) measure(ctx context.Context, cfg netcheck.Config, std program.Streams) error {
	person := isTerminal(std.Err)
	if person {
		cfg.Progress = func(what string) { fmt.Fprintf(std.Err, "\r\033[Kchecking %s …", what) }
	}
	r, err := netcheck.Run(ctx, cfg)
	if person {
		fmt.Fprint(std.Err, "\r\033[K")
	}
	switch {
	case err != nil:
		return agent.Hinted(err)
	case ctx.Err() != nil:
		return ctx.Err()
	case n.JSON:
		if err := program.WriteJSON(std.Out, r); err != nil {
			return err
		}
	default:
		printNetcheck(std.Out, r)
	}
	if !r.Works {
		return program.ErrReported
	}
	return nil
}

func printNetcheck(w io.Writer, r netcheck.Report) {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, l := range r.Lines() {
		fmt.Fprintf(tw, "%s\t%s\t%s\n", l.What, l.Found, l.Means)
	}
	tw.Flush()
	fmt.Fprintf(w, "\n%s\n", r.Verdict)
}
