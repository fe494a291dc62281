package agent

import (
	"errors"
	"slices"

	"nexd/tunnel/gateway"
)

// newGateway makes the host a router of this node's prefixes.
func newGateway(cfg Config, iface string) (forwarding, error) {
	g, err := gateway.New(gateway.Config{Interface: iface, SNAT: cfg.SNAT, StateDir: cfg.StateDir, Logger: cfg.Logger.With("room", "gateway")})
	if err != nil {
		return nil, err // not a nil *Gateway in an interface
	}
	return g, nil
}

// cleanGateway removes what killed nodes' gateways left: that of the interface, and
// those whose interface is gone, unless spare is its name.
func cleanGateway(stateDir, iface, spare string) (removed []string, err error) {
	names, err := gateway.Orphans(stateDir)
	if iface != "" && !slices.Contains(names, iface) {
		names = append(names, iface)
	}
	errs := []error{err}
	for _, name := range names {
		if name == spare {
			continue
		}
		did, err := gateway.Clean(name, stateDir)
		removed, errs = append(removed, did...), append(errs, err)
	}
	if err := errors.Join(errs...); !errors.Is(err, errors.ErrUnsupported) {
		return removed, err
	}
	return removed, nil
}
