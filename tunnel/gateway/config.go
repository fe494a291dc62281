package gateway

import (
	"log/slog"
	"net/netip"
	"strings"

	"nexd/mesh"
)

// Mode selects whether mesh traffic to a prefix gets this host's address as its source
// address.
type Mode uint8

const (
	Auto Mode = iota // off if this host is the prefix's gateway, otherwise on
	On               // always: needs no return route, and hides the caller
	Off              // never: the prefix's hosts need a return route through this host
)

var modeNames = [...]string{"auto", "on", "off"}

// String returns the mode in the form that ParseMode reads.
func (m Mode) String() string {
	if int(m) < len(modeNames) {
		return modeNames[m]
	}
	return "unknown"
}

// ParseMode reads auto, on or off.
func ParseMode(s string) (Mode, error) {
	for m, n := range modeNames {
		if n == s {
			return Mode(m), nil
		}
	}
	return Auto, mesh.Errorf(mesh.Invalid, "gateway: SNAT mode %q must be auto, on or off", s)
}

// Config is the configuration of a Gateway.
type Config struct {
	Interface string       // of the tunnel
	SNAT      Mode         // the zero value is Auto
	StateDir  string       // holds the journal of changed settings; it must exist
	Logger    *slog.Logger // nil = discard
}

// Status is the state of one advertised prefix.
type Status struct {
	Prefix    netip.Prefix // in the mesh
	Local     netip.Prefix // on this host's network
	Interface string       // names of the interfaces that lead there, joined by commas
	SNAT      bool         // mesh traffic to it gets this host's source address
	Why       string       // the reason for SNAT's value
	Problem   string       // why it does not work; empty if it does
}

func (c Config) withDefaults() (Config, error) {
	if c.Interface == "" || len(c.Interface) > 15 || c.Interface == "." || c.Interface == ".." || strings.ContainsAny(c.Interface, "/: \t\n\"\\") {
		return c, mesh.Errorf(mesh.Invalid, "gateway: interface name %q", c.Interface)
	}
	if c.StateDir == "" {
		return c, mesh.Errorf(mesh.Invalid, "gateway: no directory for the journal")
	}
	if c.SNAT > Off {
		return c, mesh.Errorf(mesh.Invalid, "gateway: SNAT mode %d", c.SNAT)
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c, nil
}

// check refuses prefixes that can never be forwarded.
func check(mine []mesh.Advertisement, pools []netip.Prefix) error {
	for _, a := range mine {
		if !a.Prefix.IsValid() || !a.Local.IsValid() || a.Prefix != a.Prefix.Masked() || a.Local != a.Local.Masked() ||
			a.Prefix.Bits() != a.Local.Bits() || a.Prefix.Addr().Is4() != a.Local.Addr().Is4() {
			return mesh.Errorf(mesh.Invalid, "gateway: prefix %v=%v: both sides must have the same family and length, without host bits", a.Prefix, a.Local)
		}
		for _, p := range pools {
			if p.Overlaps(a.Prefix) || p.Overlaps(a.Local) {
				return mesh.Errorf(mesh.Invalid, "gateway: prefix %v=%v contains addresses of the mesh's own pool %v", a.Prefix, a.Local, p)
			}
		}
	}
	return nil
}
