package ipam

import (
	"fmt"
	"net/netip"
	"time"

	"nexd/mesh"
)

// ConflictError says that a node cannot hold a prefix because it overlaps a held
// prefix. Its kind is mesh.Conflict.
type ConflictError struct {
	Prefix       netip.Prefix // the requested prefix
	Holding      mesh.Holding // the held prefix
	Organization string       // name, for WayOut; may be empty
	Own          bool         // the requesting node is the holder
}

// Error names both prefixes, the holder, when the service last saw the holder, and the
// way out.
func (e *ConflictError) Error() string {
	what := fmt.Sprintf("overlaps %v, which is held", e.Holding.Prefix)
	if e.Prefix == e.Holding.Prefix {
		what = "is held"
	}
	return fmt.Sprintf("ipam: prefix %v %s by %s; release it with: %s", e.Prefix, what, e.holder(), e.WayOut())
}

// WayOut is the command that releases the held prefix.
func (e *ConflictError) WayOut() string {
	cmd := "nexservice prefix release " + e.Holding.Prefix.String()
	if e.Organization != "" {
		cmd += " --org=" + e.Organization
	}
	return cmd
}

func (e *ConflictError) holder() string {
	if e.Own {
		return "this node itself"
	}
	name := e.Holding.HolderName
	if name == "" {
		name = string(e.Holding.Holder)
	}
	if e.Holding.LastSeen.IsZero() {
		return name + " (never seen)"
	}
	return name + " (last seen " + e.Holding.LastSeen.UTC().Format(time.RFC3339) + ")"
}

// Unwrap gives the error its kind.
func (e *ConflictError) Unwrap() error { return errConflict }

var errConflict = mesh.Errorf(mesh.Conflict, "prefix overlaps a held one")
