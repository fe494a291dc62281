package gateway

import (
	"context"
	"errors"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"

	"nexd/mesh"
)

// Gateway makes the host a router for advertised prefixes. Its methods are safe for
// concurrent use.
type Gateway struct {
	cfg          Config
	perInterface bool // the kernel has IPv6 forwarding settings per interface

	turn    sync.Mutex // one change of the kernel at a time; held over system calls
	journal *journal

	mu      sync.Mutex
	set     bool // Set was called, Close was not
	closed  bool
	mine    []mesh.Advertisement
	status  []Status
	problem string // the last one logged
}

// New reads the state that an earlier gateway of the interface may have left, and changes
// nothing: existing rules stay in force until the first Set, so flows survive a restart.
func New(cfg Config) (*Gateway, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	j, err := openJournal(cfg.StateDir, cfg.Interface)
	if err != nil {
		return nil, err
	}
	return &Gateway{cfg: cfg, journal: j, perInterface: hasForceForwarding()}, nil
}

// Set makes the host forward mesh traffic to exactly these prefixes of this node. pools are
// the mesh's own addresses. Run restores this state after external changes.
func (g *Gateway) Set(mine []mesh.Advertisement, pools []netip.Prefix) error {
	if err := check(mine, pools); err != nil {
		return err
	}
	g.mu.Lock()
	if g.closed {
		g.mu.Unlock()
		return mesh.Errorf(mesh.Unavailable, "gateway: closed")
	}
	g.set, g.mine = true, slices.Clone(mine)
	g.mu.Unlock()
	return g.reconcile()
}

// Status returns the state of each prefix.
func (g *Gateway) Status() []Status {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.status)
}

// reconcile applies the state of Set to the kernel. An error means that rules are missing.
// If the host does not forward, only Status and the log report it, because nothing can
// pass that should not.
func (g *Gateway) reconcile() error {
	g.turn.Lock()
	defer g.turn.Unlock()
	g.mu.Lock()
	set, mine := g.set, g.mine
	g.mu.Unlock()
	if !set {
		return nil
	}
	h, err := readHost()
	if err != nil {
		return err
	}
	p := makePlan(g.cfg.Interface, g.cfg.SNAT, mine, h)
	if err := p.rules().load(g.cfg.Interface); err != nil {
		return err
	}
	problems := []error{g.journal.set(g.journal.wants(p, g.perInterface))}
	for _, f := range []func(*plan) ([]string, error){fillDocker, fillLegacy} {
		changed, err := f(p)
		for _, c := range changed {
			g.cfg.Logger.Info("rules added to Docker's chain", "interface", g.cfg.Interface, "chain", c)
		}
		problems = append(problems, err)
	}
	g.tell(p, errors.Join(problems...))
	return nil
}

// tell publishes the status and logs changes.
func (g *Gateway) tell(p *plan, problem error) {
	var status []Status
	text := ""
	if problem != nil {
		text = strings.ReplaceAll(problem.Error(), "\n", "; ")
	}
	for i := range p.prefixes {
		s := p.prefixes[i].status()
		if s.Problem == "" {
			s.Problem = text
		}
		status = append(status, s)
	}
	g.mu.Lock()
	before, said := g.status, g.problem
	g.status, g.problem = status, text
	g.mu.Unlock()
	for _, s := range status {
		if !slices.Contains(before, s) {
			g.cfg.Logger.Info("forwarding", "prefix", s.Prefix, "local", s.Local, "interface", s.Interface, "snat", s.SNAT, "why", s.Why)
		}
	}
	if text != "" && text != said {
		g.cfg.Logger.Warn("the host does not forward correctly", "interface", g.cfg.Interface, "err", text)
	}
}

const (
	settle = 200 * time.Millisecond // after a change, because changes come in bursts
	slowly = 5 * time.Second        // for changes without notification: legacy iptables, settings
)

// Run checks the host whenever its links, addresses, routes or packet filter change, and
// every few seconds, until ctx ends.
func (g *Gateway) Run(ctx context.Context) error {
	changed := make(chan struct{}, 1)
	wait, err := watchKernel(ctx, changed)
	if err != nil {
		return err
	}
	defer wait()
	said := ""
	timer := time.NewTimer(0) // for changes before the watch began
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(settle):
			}
		case <-timer.C:
		}
		timer.Reset(slowly)
		err := g.reconcile()
		switch {
		case err == nil:
			said = ""
		case err.Error() != said:
			said = err.Error()
			g.cfg.Logger.Warn("the forwarding rules could not be set", "interface", g.cfg.Interface, "err", err)
		}
	}
}

// Close removes all rules and restores the settings. It may be called more than once.
func (g *Gateway) Close() error {
	g.mu.Lock()
	g.set, g.closed = false, true
	g.mu.Unlock()
	g.turn.Lock()
	defer g.turn.Unlock()
	_, err := remove(g.cfg.Interface, g.journal)
	return err
}

// Clean removes the rules and restores the settings that a killed nexd has left for an
// interface, and returns what it removed. Do not call it for a running nexd.
func Clean(iface, stateDir string) ([]string, error) {
	cfg, err := Config{Interface: iface, StateDir: stateDir}.withDefaults()
	if err != nil {
		return nil, err
	}
	j, err := openJournal(cfg.StateDir, cfg.Interface)
	if err != nil {
		return nil, err
	}
	return remove(cfg.Interface, j)
}

// Orphans returns the interfaces of gateways that ended without Close: interfaces that do
// not exist but have rules in the kernel or a journal in stateDir. The interface of a
// running gateway exists.
func Orphans(stateDir string) (ifaces []string, err error) {
	nft, err := nftables.New()
	if err != nil {
		return nil, mesh.Errorf(mesh.Unavailable, "gateway: nftables: %w", err)
	}
	tables, err := nft.ListTablesOfFamily(nftables.TableFamilyINet)
	if err != nil && !errors.Is(err, unix.EAFNOSUPPORT) && !errors.Is(err, unix.EOPNOTSUPP) {
		return nil, mesh.Errorf(mesh.Unavailable, "gateway: read the tables of nftables: %w", err)
	}
	for _, t := range tables {
		if name, ok := strings.CutPrefix(t.Name, tableName("")); ok {
			ifaces = append(ifaces, name)
		}
	}
	files, err := filepath.Glob(journalPath(stateDir, "*"))
	if err != nil {
		return nil, mesh.Errorf(mesh.Invalid, "gateway: state directory %q: %w", stateDir, err)
	}
	for _, f := range files {
		ifaces = append(ifaces, strings.TrimSuffix(strings.TrimPrefix(filepath.Base(f), "gateway-"), ".json"))
	}
	slices.Sort(ifaces)
	return slices.DeleteFunc(slices.Compact(ifaces), func(name string) bool { return indexOf(name) >= 0 }), nil
}

// remove reverts reconcile in the opposite order: it stops forwarding first, and then
// removes the rules.
func remove(iface string, j *journal) (did []string, err error) {
	var errs []error
	for _, e := range j.Entries {
		did = append(did, "net."+strings.ReplaceAll(e.Path, "/", ".")+" = "+e.Before)
	}
	errs = append(errs, j.restore(j.Entries))
	nothing := &plan{iface: iface}
	for _, f := range []func(*plan) ([]string, error){fillDocker, fillLegacy} {
		changed, err := f(nothing)
		for _, c := range changed {
			did = append(did, "rules in "+c)
		}
		errs = append(errs, err)
	}
	was, err := unload(iface)
	if was {
		did = append(did, "nftables table inet "+tableName(iface))
	}
	return did, errors.Join(append(errs, err)...)
}
