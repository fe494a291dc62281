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
	return forward.Spec{}, mesh.Errorf(mesh.Invalid, "agent: forward %q must begin with -L or -R", rule)
}

func newForwards(n *node) (*forward.Forwarder, error) {
	return forward.New(forwardConfig(n.dialer, n.path.end, n.log), n.rules())
}

func forwardConfig(d *dialer, n sockets, log *slog.Logger) forward.Config {
	return forward.Config{
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
	}
}

// Forwards implements localapi.Agent.
func (n *node) Forwards() []localapi.Forward {
	out := []localapi.Forward{}
	for _, s := range n.forwards.Status() {
		f := described(s)
		f.Kept = n.isKept(f.Spec)
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
