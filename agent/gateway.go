package agent

import (
	"errors"

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

// cleanGateway removes what a killed node's gateway left.
func cleanGateway(stateDir, iface string) ([]string, error) {
	removed, err := gateway.Clean(iface, stateDir)
	if errors.Is(err, errors.ErrUnsupported) {
		return nil, nil
	}
	return removed, err
}
