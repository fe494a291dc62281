package tundev

import (
	"log/slog"
	"net/netip"
	"strings"

	"nexd/mesh"
)

// DefaultName is the interface's name unless another is given.
const DefaultName = "wg0"

// RouteProtocol marks the routes that are nexd's ("proto 110"); nobody has
// registered it.
const RouteProtocol = 110

// Mark is set on nexd's own sockets, and compared under MarkMask. Other bits are
// left to others: Docker, Kubernetes and Tailscale use some of the lower ones.
const (
	Mark     = 0x6e000000
	MarkMask = 0xff000000
)

// Tables of routes and priorities of rules: an interface takes the first free
// number, for both.
const (
	firstTable = 5240
	lastTable  = 5259
)

// Config says what a Device is. The zero value is right.
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

// CheckName says whether an interface can have this name.
func CheckName(name string) error {
	if name == "" || len(name) > 15 || name == "." || name == ".." || strings.ContainsAny(name, "/:% \t\n\r\v\f\"\\") {
		return mesh.Errorf(mesh.Invalid, "tundev: interface name %q: 1 to 15 characters, without spaces, quotes, slashes, colons and percent signs", name)
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
