package gateway

import (
	"log/slog"
	"net/netip"
	"strings"

	"nexd/mesh"
)

// Mode says whether mesh traffic to a prefix gets this host's own address as its
// source.
type Mode uint8

const (
	Auto Mode = iota // off where the host is the prefix's gateway, on elsewhere
	On               // always: works without a route back, hides who called
	Off              // never: the prefix's hosts need a route back to this host
)

var modeNames = [...]string{"auto", "on", "off"}

// String is the mode as ParseMode reads it.
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
	return Auto, mesh.Errorf(mesh.Invalid, "gateway: SNAT mode %q: auto, on or off", s)
}

// Config says what a Gateway is.
type Config struct {
	Interface string       // of the tunnel
	SNAT      Mode         // the zero value is Auto
	StateDir  string       // keeps the journal of changed switches; it must exist
	Logger    *slog.Logger // nil = discard
}

// Status is what became of one advertised prefix.
type Status struct {
	Prefix    netip.Prefix // as the mesh knows it
	Local     netip.Prefix // as this host knows it
	Interface string       // which lead there, joined by commas; empty: none does now
	SNAT      bool         // mesh traffic to it gets this host's address as its source
	Why       string       // SNAT is as it is
	Problem   string       // why it does not work now; empty: it does
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

// check refuses what can never be forwarded.
func check(mine []mesh.Advertisement, pools []netip.Prefix) error {
	for _, a := range mine {
		if !a.Prefix.IsValid() || !a.Local.IsValid() || a.Prefix != a.Prefix.Masked() || a.Local != a.Local.Masked() ||
			a.Prefix.Bits() != a.Local.Bits() || a.Prefix.Addr().Is4() != a.Local.Addr().Is4() {
			return mesh.Errorf(mesh.Invalid, "gateway: prefix %v=%v: both sides need one family and one length, without host bits", a.Prefix, a.Local)
		}
		for _, p := range pools {
			if p.Overlaps(a.Prefix) || p.Overlaps(a.Local) {
				return mesh.Errorf(mesh.Invalid, "gateway: prefix %v=%v: holds addresses of the mesh's own pool %v", a.Prefix, a.Local, p)
			}
		}
	}
	return nil
}
