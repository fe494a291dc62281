package agent

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"slices"
	"sync"

	"nexd/agent/localapi"
	"nexd/forward"
	"nexd/mesh"
	"nexd/node/state"
)

// forwardsFile holds the rules that were added live, so that they survive a restart. It does not
// hold the rules of the command line.
const forwardsFile = "forwards.json"

const forwardsSchema = 1

// savedForwards are the rules in forwardsFile.
type savedForwards struct {
	files state.Dir

	mu    sync.Mutex
	rules []string
}

type forwardsContent struct {
	Schema int      `json:"schema"`
	Rules  []string `json:"rules"`
}

// loadForwards returns the rules to start with: those of the command line, then the saved ones. It
// logs and skips invalid rules.
func loadForwards(configured []string, files state.Dir, log *slog.Logger) (specs []forward.Spec, _ *savedForwards) {
	s := &savedForwards{files: files}
	saved, err := s.read()
	if err != nil {
		log.Warn("the forwards added while nexd was running could not be restored", "err", err)
	}
	seen := map[forward.Spec]bool{}
	for i, rule := range slices.Concat(configured, saved) {
		spec, err := parseForward(rule)
		if err != nil {
			log.Error("forward skipped", "rule", rule, "err", err)
			continue
		}
		if i >= len(configured) { // the file keeps it even if the command line has it by now
			s.rules = append(s.rules, ruleText(spec))
		} else if seen[spec] {
			log.Warn("forward given twice", "rule", rule)
		}
		if !seen[spec] {
			specs = append(specs, spec)
		}
		seen[spec] = true
	}
	return specs, s
}

// read returns the rules of the file; no file means no rules.
func (s *savedForwards) read() ([]string, error) {
	var f forwardsContent
	switch err := s.files.Read(forwardsFile, &f); {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, err
	case f.Schema != forwardsSchema:
		return nil, mesh.Errorf(mesh.Invalid, "agent: %s has schema %d, but this nexd reads schema %d", s.files.Path(forwardsFile), f.Schema, forwardsSchema)
	}
	return f.Rules, nil
}

// ruleText formats a rule with its flag, as it is saved and shown.
func ruleText(s forward.Spec) string { return s.Direction.Flag() + " " + s.String() }

// set adds a rule to the file, or takes it off.
func (s *savedForwards) set(rule string, wanted bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	rules := slices.DeleteFunc(slices.Clone(s.rules), func(r string) bool { return r == rule })
	if wanted {
		rules = append(rules, rule)
	}
	if slices.Equal(rules, s.rules) {
		return nil
	}
	if err := s.files.Write(forwardsFile, forwardsContent{forwardsSchema, rules}); err != nil {
		return err
	}
	s.rules = rules
	return nil
}

func (s *savedForwards) has(rule string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Contains(s.rules, rule)
}

// AddForward implements localapi.Agent.
func (a *agent) AddForward(ctx context.Context, rule string) (localapi.Forward, error) {
	spec, err := parseForward(rule)
	if err != nil {
		return localapi.Forward{}, err
	}
	if err := a.forwards.Add(ctx, spec); err != nil {
		return localapi.Forward{}, err
	}
	if err := a.saved.set(ruleText(spec), true); err != nil {
		a.log.Warn("the forward works but will not survive a restart", "rule", rule, "err", err)
	}
	for _, f := range a.Forwards() {
		if f.Spec == ruleText(spec) {
			return f, nil
		}
	}
	return localapi.Forward{Spec: rule}, nil
}

// RemoveForward implements localapi.Agent.
func (a *agent) RemoveForward(_ context.Context, rule string) error {
	spec, err := parseForward(rule)
	if err != nil {
		return err
	}
	if err := a.forwards.Remove(spec); err != nil {
		return err
	}
	if err := a.saved.set(ruleText(spec), false); err != nil {
		return mesh.Errorf(mesh.Unavailable, "agent: the forward is removed, but it will return at the next start: %w", err)
	}
	return nil
}
