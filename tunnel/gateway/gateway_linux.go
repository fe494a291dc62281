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

// Gateway makes the host a router of advertised prefixes. Its methods may be used
// from many goroutines at once.
type Gateway struct {
	cfg          Config
	perInterface bool // the kernel can forward IPv6 for single interfaces

	turn    sync.Mutex // one change of the kernel at a time; held over system calls
	journal *journal

	mu      sync.Mutex
	set     bool // Set was called, Close was not
	closed  bool
	mine    []mesh.Advertisement
	status  []Status
	problem string // the last one said
}

// New reads what an earlier gateway of the interface may have left, and changes
// nothing: its rules stay in force until the first Set, so that flows survive a
// restart.
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

// Set makes the host forward mesh traffic to exactly these prefixes of this node;
// pools are the mesh's own addresses. The set stays in force: Run makes it true
// again after changes from outside.
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

// Status says what became of each prefix.
func (g *Gateway) Status() []Status {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.status)
}

// reconcile makes the kernel what Set wants. An error means that rules are missing;
// that the host does not forward is told by Status and the log: nothing gets in
// that should not.
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
			g.cfg.Logger.Info("rules in Docker's chain", "interface", g.cfg.Interface, "chain", c)
		}
		problems = append(problems, err)
	}
	g.tell(p, errors.Join(problems...))
	return nil
}

// tell publishes the status, and logs what is new in it.
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
		g.cfg.Logger.Warn("the host does not forward as it should", "interface", g.cfg.Interface, "err", text)
	}
}

const (
	settle = 200 * time.Millisecond // after a change; they come in bursts
	slowly = 5 * time.Second        // changes that nobody tells about: legacy iptables, switches
)

// Run looks at the host whenever its links, addresses, routes or packet filter
// change, and every few seconds, until ctx ends.
func (g *Gateway) Run(ctx context.Context) error {
	changed := make(chan struct{}, 1)
	wait, err := watchKernel(ctx, changed)
	if err != nil {
		return err
	}
	defer wait()
	said := ""
	timer := time.NewTimer(0) // what changed before the watch was not seen
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
			g.cfg.Logger.Warn("rules for forwarding are not as they should be", "interface", g.cfg.Interface, "err", err)
		}
	}
}

// Close takes everything away that was made, and puts the switches back. It may be
// called more than once.
func (g *Gateway) Close() error {
	g.mu.Lock()
	g.set, g.closed = false, true
	g.mu.Unlock()
	g.turn.Lock()
	defer g.turn.Unlock()
	_, err := remove(g.cfg.Interface, g.journal)
	return err
}

// Clean takes away what a nexd that was killed has left for an interface, and says
// what that was. One that lives must not be cleaned.
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

// Orphans are the interfaces of gateways that ended without Close and whose name
// nobody has taken again: those with rules in the kernel or a journal in stateDir,
// that are not there. A gateway that lives has its interface.
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

// remove goes the way of reconcile backwards: first nothing is forwarded any more,
// then the walls fall.
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
