package agent

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"strings"

	"nexd/agent/localapi"
	"nexd/forward"
	"nexd/mesh"
	"nexd/netstack"
)

// CheckForwards says whether every rule ("-L …" or "-R …") can be read.
func CheckForwards(rules []string) error {
	_, err := parseForwards(rules)
	return err
}

func parseForwards(rules []string) (out []forward.Spec, err error) {
	for _, r := range rules {
		s, err := parseForward(r)
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, nil
}

// parseForward reads a rule with its flag in front.
func parseForward(rule string) (forward.Spec, error) {
	flag, spec, _ := strings.Cut(strings.TrimSpace(rule), " ")
	switch spec = strings.TrimSpace(spec); flag {
	case "-L":
		return forward.ParseLocal(spec)
	case "-R":
		return forward.ParseRemote(spec)
	}
	return forward.Spec{}, mesh.Errorf(mesh.Invalid, "agent: rule %q does not begin with -L or -R", rule)
}

func newForwards(cfg Config, d *dialer, n *netstack.Net, log *slog.Logger) (*forward.Forwarder, error) {
	specs, err := parseForwards(cfg.Forwards)
	if err != nil {
		return nil, err
	}
	return forward.New(forward.Config{
		DialMesh: d.dial,
		ListenMesh: func(_ context.Context, _, address string) (net.Listener, error) {
			ap, err := netip.ParseAddrPort(address)
			if err != nil {
				return nil, err
			}
			return n.ListenTCP(ap)
		},
		ListenPacketMesh: func(_ context.Context, _, address string) (net.PacketConn, error) {
			ap, err := netip.ParseAddrPort(address)
			if err != nil {
				return nil, err
			}
			return n.ListenUDP(ap)
		},
		Logger: log.With("room", "forward"),
	}, specs)
}

// Forwards implements localapi.Agent.
func (n *node) Forwards() []localapi.Forward {
	out := []localapi.Forward{}
	for _, s := range n.forwards.Status() {
		out = append(out, described(s))
	}
	return out
}

func described(s forward.Status) localapi.Forward {
	flag := "-L "
	if s.Direction == forward.Remote.String() {
		flag = "-R "
	}
	return localapi.Forward{
		Spec: flag + s.Spec, Listen: strings.Join(s.Listening, " "), Active: s.Active, Total: s.Total, Error: s.LastError,
	}
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
	for _, s := range n.forwards.Status() {
		if s.Spec == spec.String() && s.Direction == spec.Direction.String() {
			return described(s), nil
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
	return n.forwards.Remove(spec)
}
