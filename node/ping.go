package node

import (
	"context"
	"time"

	"nexd/mesh"
	"nexd/netmap"

	"net/netip"
)

// MaxPingSize is the most payload, in bytes, that one Ping carries. With it, an IPv6 packet is as
// large as the default MTU.
const MaxPingSize = 1372

// pingTimeout is how long Ping waits unless told otherwise.
const pingTimeout = 3 * time.Second

// PingOptions are the details of a Ping. The zero value is right.
type PingOptions struct {
	Size    int           // bytes of payload, at most MaxPingSize
	Timeout time.Duration // 0: 3 s
}

// Pong is an echo that the target itself answered.
type Pong struct {
	Address netip.Addr
	RTT     time.Duration
	Path    string // to the node: local, direct ADDRESS:PORT, relay or none
	Why     string // this path
}

// Ping sends one echo request to a node's name, a node's address or an address in a prefix that
// another node advertises, and waits for the target's answer.
func (n *Node) Ping(ctx context.Context, target string, opt PingOptions) (Pong, error) {
	if opt.Size < 0 || opt.Size > MaxPingSize {
		return Pong{}, mesh.Errorf(mesh.Invalid, "node: ping size %d must be from 0 to %d", opt.Size, MaxPingSize)
	}
	v := n.view.Load()
	addrs, err := v.Resolve(target)
	if err != nil {
		return Pong{}, err
	}
	to := addrs[0]
	owner, err := v.Route(to)
	if err != nil {
		return Pong{}, err
	}
	if owner.Place == netmap.Local {
		return Pong{}, mesh.Errorf(mesh.Invalid, "node: %v is behind this node itself; use the host's own ping", to)
	}
	if err := n.path.Unrouted(to); err != nil {
		return Pong{}, err
	}
	if opt.Timeout <= 0 {
		opt.Timeout = pingTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, opt.Timeout)
	defer cancel()
	rtt, err := n.path.Ping(ctx, to, opt.Size)
	if err != nil {
		if ctx.Err() != nil {
			return Pong{}, mesh.Errorf(mesh.Internal, "node: no reply from %v within %v", to, opt.Timeout)
		}
		return Pong{}, err
	}
	pong := Pong{Address: to, RTT: rtt}
	pong.Path, pong.Why = n.pathTo(owner.Node)
	return pong, nil
}
