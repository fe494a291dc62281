package agent

import (
	"context"
	"net"

	"nexd/agent/localapi"
)

var _ localapi.Dialer = (*node)(nil)

// Dial implements localapi.Dialer: into the mesh, by the map.
func (n *node) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	return n.dialer.dial(ctx, network, address)
}
