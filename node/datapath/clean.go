package datapath

import (
	"errors"
	"slices"

	"nexd/tunnel/gateway"
	"nexd/tunnel/tundev"
)

// Clean removes what nodes in TUN mode left on this host when they were killed, and returns
// what that was, for people. iface is the interface of the node whose state is in stateDir; empty
// is the usual one. No node may run with that state.
func Clean(stateDir, iface string) ([]string, error) {
	if iface == "" {
		iface = tundev.DefaultName
	}
	removed, err := tundev.Clean()
	more, gerr := cleanGateway(stateDir, iface, "")
	return append(removed, more...), errors.Join(err, gerr)
}

// MayClean reports whether this process may do what Clean does.
func MayClean() bool { return tundev.Probe() == nil }

// removeLeftovers removes what an earlier life of a node in TUN mode left and this one
// does not take over: the rules for an interface of another name.
func removeLeftovers(cfg Config) {
	iface := cfg.Interface
	if iface == "" {
		iface = tundev.DefaultName
	}
	removed, err := cleanGateway(cfg.StateDir, "", iface)
	for _, r := range removed {
		cfg.Logger.Info("removed leftovers of a killed nexd", "what", r)
	}
	if err != nil {
		cfg.Logger.Warn("some leftovers of a killed nexd could not be removed", "err", err)
	}
}

// cleanGateway removes the rules of iface, and the rules of interfaces that are gone, except
// those of spare.
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
