package agent

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"sync"

	"nexd/agent/localapi"
	"nexd/forward"
	"nexd/mesh"
)

// forwardsFile keeps the rules that were added live, so that they survive a
// restart. Removing one takes it off; rules of the command line are not in it.
const forwardsFile = "forwards.json"

const keptSchema = 1

// keptForwards are the rules in forwardsFile.
type keptForwards struct {
	mu    sync.Mutex
	rules []string
}

type keptFile struct {
	Schema int      `json:"schema"`
	Rules  []string `json:"rules"`
}

// rules is what the forwards begin with: those of the command line, then the kept
// ones. One that cannot be used is left out with a word in the log; it never
// keeps the node from starting.
func (n *node) rules() (out []forward.Spec) {
	kept, err := n.state.loadForwards()
	if err != nil {
		n.log.Warn("the forwards added while nexd ran are not back", "err", err)
	}
	seen := map[forward.Spec]bool{}
	for i, rule := range slices.Concat(n.cfg.Forwards, kept) {
		spec, err := parseForward(rule)
		if err != nil {
			n.log.Error("forward left out", "rule", rule, "err", err)
			continue
		}
		if i >= len(n.cfg.Forwards) { // also one that the command line has by now: it is in the file
			n.kept.rules = append(n.kept.rules, ruleText(spec))
		} else if seen[spec] {
			n.log.Warn("forward given twice", "rule", rule)
		}
		if !seen[spec] {
			out = append(out, spec)
		}
		seen[spec] = true
	}
	return out
}

// loadForwards reads the kept rules; none is fine.
func (s *state) loadForwards() ([]string, error) {
	var f keptFile
	switch err := s.read(forwardsFile, &f); {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, err
	case f.Schema != keptSchema:
		return nil, mesh.Errorf(mesh.Invalid, "agent: %s has schema %d, but this nexd reads schema %d", s.path(forwardsFile), f.Schema, keptSchema)
	}
	return f.Rules, nil
}

// ruleText is a rule as it is kept and shown, with its flag.
func ruleText(s forward.Spec) string { return s.Direction.Flag() + " " + s.String() }

// keep adds a rule to the file, or takes it off.
func (n *node) keep(rule string, wanted bool) error {
	n.kept.mu.Lock()
	defer n.kept.mu.Unlock()
	rules := slices.DeleteFunc(slices.Clone(n.kept.rules), func(r string) bool { return r == rule })
	if wanted {
		rules = append(rules, rule)
	}
	if slices.Equal(rules, n.kept.rules) {
		return nil
	}
	if err := n.state.write(forwardsFile, keptFile{keptSchema, rules}); err != nil {
		return err
	}
	n.kept.rules = rules
	return nil
}

func (n *node) isKept(rule string) bool {
	n.kept.mu.Lock()
	defer n.kept.mu.Unlock()
	return slices.Contains(n.kept.rules, rule)
}

// AddForward implements localapi.Agent.
func (n *node) AddForward(ctx context.Context, rule string) (localapi.Forward, error) {
	spec, err := parseForward(rule)
	if err != nil {
		return localapi.Forward{}, err
	}
	if err := n.forwards.Add(ctx, spec); err != nil {
		return localapi.Forward{}, err
	}
	if err := n.keep(ruleText(spec), true); err != nil {
		n.log.Warn("the forward works but will not be back after a restart", "rule", rule, "err", err)
	}
	for _, f := range n.Forwards() {
		if f.Spec == ruleText(spec) {
			return f, nil
		}
	}
	return localapi.Forward{Spec: rule}, nil
}

// RemoveForward implements localapi.Agent.
func (n *node) RemoveForward(_ context.Context, rule string) error {
	spec, err := parseForward(rule)
	if err != nil {
		return err
	}
	if err := n.forwards.Remove(spec); err != nil {
		return err
	}
	if err := n.keep(ruleText(spec), false); err != nil {
		return mesh.Errorf(mesh.Unavailable, "agent: the forward is removed, but it will return at the next start: %w", err)
	}
	return nil
}
