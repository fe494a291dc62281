package agent

import (
	"io/fs"
	"os"

	"nexd/internal/caps"
	"nexd/mesh"
)

// dropPrivileges leaves a node in TUN mode with CAP_NET_ADMIN, for routes and
// rules, and what else is named.
func (n *node) dropPrivileges(also ...int) error {
	if !n.cfg.DropPrivileges || n.mode != tunMode {
		return nil
	}
	keep := append([]int{caps.NetAdmin}, also...)
	if info, err := os.Stat(n.state.dir); err == nil && !ownedByUs(info) {
		n.log.Warn("the state directory belongs to another user: CAP_DAC_OVERRIDE is kept to write there", "state", n.state.dir)
		keep = append(keep, caps.DACOverride)
	}
	if err := caps.Keep(keep...); err != nil {
		return mesh.Errorf(mesh.Internal, "agent: privileges cannot be dropped: %w", err)
	}
	return nil
}

// ownedByUs says whether a file belongs to the user that this process runs as.
func ownedByUs(info fs.FileInfo) bool {
	uid, ok := ownerOf(info)
	return !ok || uid == os.Geteuid()
}
