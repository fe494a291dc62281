package hostport

import (
	"context"
	"net"
	"net/netip"
	"strconv"

	"nexd/mesh"
)

// Lookup returns the addresses of a name or of a literal address.
type Lookup func(ctx context.Context, host string) ([]netip.Addr, error)

// System uses the host's resolver, for both families.
func System(ctx context.Context, host string) ([]netip.Addr, error) {
	return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
}

// Resolve returns the addresses of place, HOST:PORT with a numeric port, in the order of
// lookup. IPv4-mapped addresses become IPv4. Another form of place is an error of kind
// Invalid; other errors come from lookup.
func Resolve(ctx context.Context, lookup Lookup, place string) ([]netip.AddrPort, error) {
	host, service, err := net.SplitHostPort(place)
	if err != nil {
		return nil, mesh.Errorf(mesh.Invalid, "hostport: %w", err)
	}
	port, err := strconv.ParseUint(service, 10, 16)
	if err != nil {
		return nil, mesh.Errorf(mesh.Invalid, "hostport: %q: %w", place, err)
	}
	addrs, err := lookup(ctx, host)
	if err != nil {
		return nil, err
	}
	out := make([]netip.AddrPort, len(addrs))
	for i, a := range addrs {
		out[i] = netip.AddrPortFrom(a.Unmap(), uint16(port))
	}
	return out, nil
}
