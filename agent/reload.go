package agent

import (
	"context"
	"slices"

	"golang.org/x/sync/errgroup"

	"nexd/forward"
	"nexd/mesh"
)

// Change is a change of the configuration of a running agent. It does not end connections that it
// does not concern.
type Change struct {
	Forwards    []string // the rules of the command line and the config file, as in Config
	ProxyListen []string // as in Config
	Direct      bool     // as in ProxyConfig
	NeedRestart []string // flags that changed but take effect at the next start only
}

// attendChanges applies changes until ctx ends.
func (a *agent) attendChanges(ctx context.Context, g *errgroup.Group) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case c := <-a.cfg.Changes:
			a.change(ctx, c, g)
		}
	}
}

// change applies a change of the forwards, and of the proxy's addresses, reach and users. It serves
// new listeners on a goroutine of g.
func (a *agent) change(ctx context.Context, c Change, g *errgroup.Group) {
	if a.cfg.Proxy.AuthFile != "" {
		if err := a.loadUsers(); err != nil {
			a.log.Error("the proxy keeps its old users: the file has errors", "err", err)
		}
	}
	a.direct.Store(c.Direct)
	a.moveProxies(ctx, c.ProxyListen, g)
	added, removed := a.changeForwards(ctx, c.Forwards)
	a.log.Info("configuration reloaded", "forwards_added", added, "forwards_removed", removed)
	if len(c.NeedRestart) > 0 {
		a.log.Warn("these flags have changed and need a restart", "flags", c.NeedRestart)
	}
}

// changeForwards removes the configured rules that are no longer wanted and adds the new ones. Rules
// that stay keep their connections. Rules that were added live stay as they are.
func (a *agent) changeForwards(ctx context.Context, wanted []string) (added, removed int) {
	now, next := a.specs(a.cfg.Forwards), a.specs(wanted)
	for _, s := range now {
		if slices.Contains(next, s) || a.saved.has(ruleText(s)) {
			continue
		}
		if err := a.forwards.Remove(s); err != nil && mesh.KindOf(err) == mesh.NotFound {
			continue // removed live already
		} else if err != nil {
			a.log.Warn("forward not removed", "rule", ruleText(s), "err", err)
			continue
		}
		removed++
	}
	have := a.forwards.Specs()
	a.cfg.Forwards = nil
	for _, s := range next {
		a.cfg.Forwards = append(a.cfg.Forwards, ruleText(s))
		if slices.Contains(have, s) {
			continue
		}
		if err := a.forwards.Want(ctx, s); err != nil {
			a.log.Error("forward not added", "rule", ruleText(s), "err", err)
			continue
		}
		added++
	}
	return added, removed
}

// specs parses rules. It logs and skips invalid ones.
func (a *agent) specs(rules []string) (out []forward.Spec) {
	for _, r := range rules {
		s, err := parseForward(r)
		if err != nil {
			a.log.Error("forward skipped", "rule", r, "err", err)
			continue
		}
		out = append(out, s)
	}
	return out
}
