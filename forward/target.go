package forward

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"nexd/internal/unixsock"
	"nexd/mesh"
)

// targetSpec is one target as written: HOST:PORT, HOST:PORT-PORT or a path.
type targetSpec struct {
	host string
	port uint16
	span uint16
}

func (t targetSpec) String() string {
	if isPath(t.host) {
		return t.host
	}
	return net.JoinHostPort(t.host, rangeText(t.port, t.span))
}

// at returns the target for the port at an offset from the first, in the form that dialers take.
func (t targetSpec) at(offset uint16) string {
	if isPath(t.host) {
		return t.host
	}
	return net.JoinHostPort(t.host, strconv.Itoa(int(t.port)+int(offset)))
}

func parseTarget(fields []string, d Direction) (t targetSpec, err error) {
	switch {
	case len(fields) == 1 && isPath(fields[0]) && d == Remote:
		if len(fields[0]) > unixsock.MaxPath {
			return t, mesh.Errorf(mesh.Invalid, "path %q is longer than %d bytes", fields[0], unixsock.MaxPath)
		}
		t.host = fields[0]
		return t, nil
	case len(fields) == 1 && isPath(fields[0]):
		return t, mesh.Errorf(mesh.Invalid, "%s is a Unix socket, but a target in the mesh must be HOST:HOSTPORT", fields[0])
	case len(fields) != 2:
		return t, mesh.Errorf(mesh.Invalid, "target %q must be HOST:HOSTPORT", strings.Join(fields, ":"))
	}
	if t.host, err = parseHost(fields[0]); err != nil {
		return t, err
	}
	t.port, t.span, err = parsePorts(fields[1], 1)
	return t, err
}

// parsePorts reads PORT or FIRST-LAST.
func parsePorts(s string, lowest uint64) (first, span uint16, err error) {
	from, to, isRange := strings.Cut(s, "-")
	if !isRange || from == "" {
		first, err = parsePort(s, lowest)
		return first, 0, err
	}
	if first, err = parsePort(from, 1); err != nil {
		return 0, 0, err
	}
	last, err := parsePort(to, 1)
	switch {
	case err != nil:
		return 0, 0, err
	case last <= first:
		return 0, 0, mesh.Errorf(mesh.Invalid, "the port range %s is not ascending", s)
	case last-first > maxSpan:
		return 0, 0, mesh.Errorf(mesh.Invalid, "port range %s has %d ports; at most %d are allowed", s, last-first+1, maxSpan+1)
	}
	return first, last - first, nil
}

func rangeText(first, span uint16) string {
	if span == 0 {
		return strconv.Itoa(int(first))
	}
	return fmt.Sprintf("%d-%d", first, int(first)+int(span))
}

// targets returns all targets for the port at an offset from the first.
func (s Spec) targets(offset uint16) []string {
	out := []string{targetSpec{s.Host, s.HostPort, s.Span}.at(offset)}
	for more := s.More; more != ""; {
		var one string
		one, more, _ = strings.Cut(more, ",")
		fields, err := split(one)
		if err != nil {
			continue // cannot happen: New and Add check the spec
		}
		if t, err := parseTarget(fields, s.Direction); err == nil {
			out = append(out, t.at(offset))
		}
	}
	return out
}

// Among several targets, a failed one is skipped for downFor, and a dial gets only severalDialTime
// so that the next target can be tried.
const (
	downFor         = 10 * time.Second
	severalDialTime = 3 * time.Second
)

// turns decides which of a rule's targets is next.
type turns struct {
	mu   sync.Mutex
	next uint
	down map[string]time.Time // when each skipped target may be used again
}

// order returns the targets in the order in which to try them. Each is first in its turn; skipped
// targets come last, since there may be no others.
func (t *turns) order(targets []string, now time.Time) []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	start := t.next
	t.next++
	var up, down []string
	for i := range targets {
		one := targets[(start+uint(i))%uint(len(targets))]
		if now.Before(t.down[one]) {
			down = append(down, one)
		} else {
			up = append(up, one)
		}
	}
	return append(up, down...)
}

func (t *turns) mark(target string, up bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if up {
		delete(t.down, target)
		return
	}
	if t.down == nil {
		t.down = map[string]time.Time{}
	}
	t.down[target] = time.Now().Add(downFor)
}

// skipped returns the targets that are skipped now.
func (t *turns) skipped(now time.Time) (out []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for one, until := range t.down {
		if now.Before(until) {
			out = append(out, one)
		}
	}
	return out
}

// dialTarget connects to the target whose turn it is or, if that fails, to the next that answers.
func (r *rule) dialTarget(ctx context.Context, offset uint16) (net.Conn, string, error) {
	ctx, cancel := context.WithTimeout(ctx, r.cfg.DialTimeout)
	defer cancel()
	targets := r.spec.targets(offset)
	if len(targets) > 1 {
		targets = r.turns.order(targets, time.Now())
	}
	var errs []error
	for i, to := range targets {
		c, err := r.dialOne(ctx, to, i < len(targets)-1)
		if err == nil {
			r.turns.mark(to, true)
			return c, to, nil
		}
		errs = append(errs, fmt.Errorf("forward: %s: cannot reach %s: %w", r.name(), to, cause(err)))
		if errors.Is(ctx.Err(), context.Canceled) {
			break // the client left, which is not the target's fault
		}
		if len(targets) > 1 {
			r.turns.mark(to, false)
		}
	}
	if len(errs) == 1 {
		return nil, "", errs[0]
	}
	return nil, "", errors.Join(errs...)
}

func (r *rule) dialOne(ctx context.Context, to string, others bool) (net.Conn, error) {
	if others {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, min(severalDialTime, r.cfg.DialTimeout))
		defer cancel()
	}
	if isPath(to) {
		return r.dial(ctx, "unix", to)
	}
	return r.dial(ctx, r.spec.Network, to)
}
