package agent

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"strings"

	"nexd/agent/localapi"
	"nexd/forward"
	"nexd/internal/budget"
	"nexd/mesh"
	"nexd/node"
)

// CheckForwards checks the syntax of rules ("-L …" or "-R …").
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

// parseForward parses a rule that begins with its flag.
func parseForward(rule string) (forward.Spec, error) {
	flag, spec, _ := strings.Cut(strings.TrimSpace(rule), " ")
	switch spec = strings.TrimSpace(spec); flag {
	case "-L":
		return forward.ParseLocal(spec)
	case "-R":
		return forward.ParseRemote(spec)
	}
	return forward.Spec{}, mesh.Errorf(mesh.Invalid, "agent: forward %q must begin with -L or -R", rule)
}

func forwardConfig(n *node.Node, b *budget.Budget, log *slog.Logger) forward.Config {
	return forward.Config{
		DialMesh: n.DialContext,
		ListenMesh: func(_ context.Context, network, address string) (net.Listener, error) {
			return n.Listen(network, address)
		},
		ListenPacketMesh: func(_ context.Context, network, address string) (net.PacketConn, error) {
			return n.ListenPacket(network, address)
		},
		MeshAddresses: func() []netip.Addr {
			if v := n.View(); v != nil && !v.Empty() {
				return v.Self.Addresses
			}
			return nil
		},
		Budget: b,
		Logger: log.With("room", "forward"),
	}
}

// Forwards implements localapi.Agent.
func (a *agent) Forwards() []localapi.Forward {
	out := []localapi.Forward{}
	for _, s := range a.forwards.Status() {
		f := described(s)
		f.Kept = a.saved.has(f.Spec)
		out = append(out, f)
	}
	return out
}

func described(s forward.Status) localapi.Forward {
	flag := "-L "
	if s.Direction == forward.Remote.String() {
		flag = "-R "
	}
	return localapi.Forward{
		Spec: flag + s.Spec, Listen: strings.Join(s.Listening, " "), Active: s.Active, Total: s.Total, Refused: s.Refused,
		Sent: s.Sent, Received: s.Received, Down: s.Down, Error: s.LastError, ErrorAt: s.ErrorAt,
	}
}
