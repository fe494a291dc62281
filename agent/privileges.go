package agent

import (
	"io/fs"
	"os"

	"nexd/internal/caps"
	"nexd/mesh"
)

// dropPrivileges drops every capability of a node in TUN mode except CAP_NET_ADMIN, which routes
// and rules need, and those in also.
func (a *agent) dropPrivileges(also ...int) error {
	if !a.cfg.DropPrivileges || !a.node.TUN() {
		return nil
	}
	keep := append([]int{caps.NetAdmin}, also...)
	if info, err := os.Stat(a.cfg.StateDir); err == nil && !ownedByUs(info) {
		a.log.Warn("keeping CAP_DAC_OVERRIDE: the state directory belongs to another user", "state", a.cfg.StateDir)
		keep = append(keep, caps.DACOverride)
	}
	legacy := oldFilterInUse()
	if legacy && len(also) == 0 {
		a.log.Info("keeping CAP_NET_RAW for the program iptables: rules of iptables-legacy are in use")
		keep = append(keep, caps.NetRaw)
	}
	if err := caps.Keep(legacy, keep...); err != nil {
		return mesh.Errorf(mesh.Internal, "agent: cannot drop privileges: %w", err)
	}
	return nil
}

// oldFilterInUse reports whether the host has rules of iptables-legacy, which only the iptables
// program can change (tunnel/gateway).
func oldFilterInUse() bool {
	for _, f := range []string{"/proc/net/ip_tables_names", "/proc/net/ip6_tables_names"} {
		if b, err := os.ReadFile(f); err == nil && len(b) > 0 {
			return true
		}
	}
	return false
}

// ownedByUs reports whether a file belongs to the user of this process.
func ownedByUs(info fs.FileInfo) bool {
	uid, ok := ownerOf(info)
	return !ok || uid == os.Geteuid()
}
