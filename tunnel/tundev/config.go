package tundev

import (
	"errors"
	"log/slog"
	"net/netip"
	"strings"

	"nexd/mesh"
)

// DefaultName is the default name of the interface.
const DefaultName = "wg0"

// ErrExists is wrapped by the error of New for the name of an existing interface.
var ErrExists = errors.New("the interface exists already")

// RouteProtocol marks nexd's routes ("proto 110"). The number is unregistered.
const RouteProtocol = 110

// Mark is set on nexd's own sockets and compared under MarkMask. Docker, Kubernetes and
// Tailscale use some of the lower bits.
const (
	Mark     = 0x6e000000
	MarkMask = 0xff000000
)

// The range of routing tables and rule priorities. An interface uses the first free number
// for both.
const (
	firstTable = 5240
	lastTable  = 5259
)

// Config is the configuration of a Device. The zero value is valid.
type Config struct {
	Name   string       // of the interface; empty: DefaultName
	MTU    int          // 0: mesh.DefaultMTU
	Logger *slog.Logger // nil = discard
}

// Skipped is a prefix that is not routed into the mesh, and why.
type Skipped struct {
	Prefix netip.Prefix
	Why    string
}

// CheckName returns an error if an interface cannot have this name.
func CheckName(name string) error {
	if name == "" || len(name) > 15 || name == "." || name == ".." || strings.ContainsAny(name, "/:% \t\n\r\v\f\"\\") {
		return mesh.Errorf(mesh.Invalid, "tundev: interface name %q must have 1 to 15 characters, without spaces, quotes, slashes, colons and percent signs", name)
	}
	return nil
}

func (c Config) withDefaults() (Config, error) {
	if c.Name == "" {
		c.Name = DefaultName
	}
	if c.MTU == 0 {
		c.MTU = mesh.DefaultMTU
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c, CheckName(c.Name)
}
