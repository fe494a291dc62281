package hostport

import (
	"context"
	"net"
	"net/netip"
	"strconv"

	"nexd/mesh"
)

// Lookup finds the addresses of a name, or of an address that is written out.
type Lookup func(ctx context.Context, host string) ([]netip.Addr, error)

// System asks the host's resolver for both families.
func System(ctx context.Context, host string) ([]netip.Addr, error) {
	return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
}

// Resolve finds the addresses of place, HOST:PORT with a number for the port, in the
// order in which lookup has them; IPv4 in the form of IPv6 is IPv4. A place that is
// not of that form is an error of kind Invalid; others are lookup's.
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
