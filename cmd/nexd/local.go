package main

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"text/tabwriter"
	"time"

	"nexd/agent"
	"nexd/agent/localapi"
	"nexd/internal/program"
	"nexd/mesh"
	"nexd/node/state"
)

func (c *cli) client() (*localapi.Client, error) {
	path, err := c.socket()
	return localapi.NewClient(path), err
}

// asked marks the failure of a local call if it means that no node is running.
func asked(err error) error {
	if mesh.KindOf(err) == mesh.Unavailable {
		return program.UnreachableError{Err: err}
	}
	return err
}

// localTimeout limits local calls that should return at once.
const localTimeout = 10 * time.Second

type statusCmd struct {
	JSON       bool `name:"json" help:"Print JSON with a stable schema." env:"-"`
	Check      bool `help:"Print only what does not work; exit with 1 if there is anything." env:"-"`
	Candidates bool `help:"Print the addresses of this node and its peers, and how each fares." env:"-"`
}

// Run implements program.Command.
func (s *statusCmd) Run(ctx context.Context, c *cli) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, localTimeout)
	defer cancel()
	st, err := client.Status(ctx)
	if err != nil {
		return asked(err)
	}
	switch {
	case s.Check && s.JSON, s.Candidates && (s.JSON || s.Check):
		return program.Usagef("use one of --json, --check and --candidates; --json has everything")
	case s.JSON:
		return program.WriteJSON(c.std.Out, st)
	case s.Check:
		return checkStatus(c.std.Out, st, time.Now())
	case s.Candidates:
		printCandidates(c.std.Out, st, time.Now())
		return nil
	}
	printStatus(c.std.Out, st, time.Now())
	return nil
}

type forwardCmd struct {
	List   forwardListCmd   `cmd:"" default:"1" help:"List the forwards with their connections and last errors."`
	Add    forwardAddCmd    `cmd:"" help:"Add a forward (-L SPEC or -R SPEC) to the running node."`
	Remove forwardRemoveCmd `cmd:"" help:"Remove a forward (-L SPEC or -R SPEC) and close its connections."`
}

type forwardListCmd struct {
	JSON bool `name:"json" help:"Print JSON." env:"-"`
}

// Run implements program.Command.
func (f *forwardListCmd) Run(ctx context.Context, c *cli) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, localTimeout)
	defer cancel()
	fs, err := client.Forwards(ctx)
	if err != nil {
		return asked(err)
	}
	if f.JSON {
		return program.WriteJSON(c.std.Out, fs)
	}
	printForwards(c.std.Out, fs)
	return nil
}

// -L or -R names the rule to add or remove, as for join.
type (
	forwardAddCmd    struct{ rule string }
	forwardRemoveCmd struct{ rule string }
)

// Check implements program.Checker.
func (cmd *forwardAddCmd) Check(c *cli) (err error) { cmd.rule, err = c.rule(); return err }

// Check implements program.Checker.
func (cmd *forwardRemoveCmd) Check(c *cli) (err error) { cmd.rule, err = c.rule(); return err }

// rule returns the only rule on the command line.
func (c *cli) rule() (string, error) {
	var rules []string
	if program.Given(c.parsed, "local-forward") {
		rules = append(rules, prefixed("-L ", splitRules(c.LocalForward))...)
	}
	if program.Given(c.parsed, "remote-forward") {
		rules = append(rules, prefixed("-R ", splitRules(c.RemoteForward))...)
	}
	if len(rules) != 1 {
		return "", program.Usagef("the command needs exactly one forward: -L [BIND:]PORT:HOST:HOSTPORT or -R PORT:HOST:HOSTPORT")
	}
	if err := agent.CheckForwards(rules); err != nil {
		return "", program.UsageError{Err: err}
	}
	return rules[0], nil
}

// Run implements program.Command.
func (cmd *forwardAddCmd) Run(ctx context.Context, c *cli) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, localTimeout)
	defer cancel()
	added, err := client.AddForward(ctx, cmd.rule)
	if err != nil {
		return asked(err)
	}
	where := "on"
	if strings.HasPrefix(added.Spec, "-R ") {
		where = "in the mesh on"
	}
	addrs := strings.Fields(added.Listen) // two of them are one for each family; more are the ends of a range
	if len(addrs) == 2 {
		addrs = []string{addrs[0], "and", addrs[1]}
	}
	fmt.Fprintf(c.std.Out, "listening %s %s: %s\n", where, strings.Join(addrs, " "), added.Spec)
	if !added.Kept {
		fmt.Fprintln(c.std.Err, "nexd: the forward will not survive a restart, because it could not be written to the state directory (see the node's log)")
	}
	return nil
}

// Run implements program.Command.
func (cmd *forwardRemoveCmd) Run(ctx context.Context, c *cli) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, localTimeout)
	defer cancel()
	return asked(client.RemoveForward(ctx, cmd.rule))
}

type downCmd struct{}

// Run implements program.Command.
func (*downCmd) Run(ctx context.Context, c *cli) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, localTimeout)
	defer cancel()
	return asked(client.Down(ctx))
}

type keyCmd struct{}

// Run implements program.Command.
func (*keyCmd) Run(_ context.Context, c *cli) error {
	dir, err := c.stateDir()
	if err != nil {
		return err
	}
	key, err := state.PublicKey(dir)
	if err == nil {
		fmt.Fprintln(c.std.Out, key)
	}
	return err
}

func printStatus(w io.Writer, s localapi.Status, now time.Time) {
	for _, p := range problems(s, now) {
		fmt.Fprintln(w, "!", p)
	}
	if a := s.Approval; a != nil {
		fmt.Fprintf(w, "%s  %s mode  service %s\n", s.State, s.Mode, s.Service.URL)
		printWaiting(w, a.Link, a.Code, a.Fingerprint, a.Expires, now)
		return
	}
	mode := s.Mode + " mode"
	if s.Interface != "" {
		mode += " on " + s.Interface
	}
	fmt.Fprintf(w, "%s  %s  %s  %s  organization %s\n", s.Node.Name, join(s.Node.Addresses), s.State, mode, s.Organization)
	if len(s.Node.Prefixes) > 0 {
		fmt.Fprintf(w, "advertises %s\n", join(s.Node.Prefixes))
	}
	if s.Service.URL != "" {
		fmt.Fprintf(w, "service %s  %s\n", s.Service.URL, serviceState(s.Service, now))
	}
	if r := s.Relay; r != nil && r.Connected {
		fmt.Fprintf(w, "relay connected, round trip %s\n", millis(time.Duration(r.RTT*float64(time.Millisecond))))
	} else if r != nil {
		fmt.Fprintf(w, "relay not connected: %s\n", r.Why)
	}
	if o := s.Outside; o != nil {
		depends := ""
		if o.Depends {
			depends = " (differs by destination)"
		}
		fmt.Fprintf(w, "public address %s%s\n", join(o.Addresses), depends)
	}
	if len(s.Proxies) > 0 {
		fmt.Fprintf(w, "proxy %s (SOCKS5 and HTTP)\n", strings.Join(s.Proxies, " "))
	}
	fmt.Fprintln(w)
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "PEER\tADDRESSES\tPREFIXES\tPATH\tRTT\tHANDSHAKE\tRX\tTX")
	for _, p := range s.Peers {
		path, rtt := pathCells(p, s.Service.Connected && !p.Online, now)
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", p.Name, join(p.Addresses), program.Dash(join(p.Prefixes)), path, rtt, ago(p.LastHandshake, now), size(p.RxBytes), size(p.TxBytes))
	}
	tw.Flush()
	if len(s.Forwards) > 0 {
		fmt.Fprintln(w)
		printForwards(w, s.Forwards)
	}
}

// pathCells returns the path to a peer and its round trip. offline means that the peer is
// not connected to the service, and therefore not to its relay; a direct path may still
// work.
func pathCells(p localapi.Peer, offline bool, now time.Time) (path, rtt string) {
	path, rtt = p.Path, "-"
	switch {
	case offline && p.Path != "direct":
		return "offline, last seen " + ago(p.LastSeen, now), rtt
	case p.Endpoint != "":
		path += " " + p.Endpoint
	case p.Why != "":
		path += ": " + p.Why
	}
	switch {
	case p.Largest > 0:
		path += fmt.Sprintf(" (packets up to %d bytes)", p.Largest)
	case p.Endpoint != "" && !p.Limited.IsZero():
		path += ": " + p.Why
	}
	if !p.Limited.IsZero() {
		path += ", for " + now.Sub(p.Limited).Round(time.Second).String()
	}
	if p.RTT > 0 {
		rtt = millis(time.Duration(p.RTT * float64(time.Millisecond)))
	}
	return path, rtt
}

func printForwards(w io.Writer, fs []localapi.Forward) {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "FORWARD\tLISTENS ON\tACTIVE\tTOTAL\tSENT\tRECEIVED\tLAST ERROR")
	for _, f := range fs {
		fmt.Fprintf(tw, "%s\t%s\t%d\t%d\t%s\t%s\t%s\n", f.Spec, program.Dash(f.Listen), f.Active, f.Total, size(uint64(f.Sent)), size(uint64(f.Received)), program.Dash(f.Error))
	}
	tw.Flush()
}

func serviceState(s localapi.Service, now time.Time) string {
	switch {
	case s.Connected:
		return fmt.Sprintf("connected, revision %d", s.Revision)
	case s.Error != "":
		return fmt.Sprintf("unreachable since %s: %s", ago(s.Since, now), s.Error)
	}
	return "connecting"
}

func join[T netip.Addr | netip.Prefix | netip.AddrPort](items []T) string {
	words := make([]string, len(items))
	for i, it := range items {
		words[i] = fmt.Sprint(it)
	}
	return strings.Join(words, " ")
}

func millis(d time.Duration) string {
	return fmt.Sprintf("%.1fms", float64(d)/float64(time.Millisecond))
}

func ago(t, now time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return now.Sub(t).Round(time.Second).String() + " ago"
}

func size(n uint64) string {
	units := "KMGTP"
	if n < 1000 {
		return fmt.Sprintf("%dB", n)
	}
	f := float64(n)
	for i := range units {
		f /= 1000
		if f < 1000 || i == len(units)-1 {
			return fmt.Sprintf("%.1f%cB", f, units[i])
		}
	}
	return ""
}
