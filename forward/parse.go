package forward

import (
	"net/netip"
	"strconv"
	"strings"

	"nexd/mesh"
)

// split cuts a rule at the colons outside brackets. A bracketed field keeps its brackets.
func split(s string) (fields []string, err error) {
	for {
		end := strings.IndexByte(s, ':')
		if strings.HasPrefix(s, "[") {
			closing := strings.IndexByte(s, ']')
			if closing < 0 {
				return nil, mesh.Errorf(mesh.Invalid, "missing ] after %q", s)
			}
			if closing+1 < len(s) && s[closing+1] != ':' {
				return nil, mesh.Errorf(mesh.Invalid, "%q after %q; expected a colon", s[closing+1:], s[:closing+1])
			}
			if end = closing + 1; end == len(s) {
				end = -1
			}
		}
		if end < 0 {
			return append(fields, s), nil
		}
		fields = append(fields, s[:end])
		s = s[end+1:]
	}
}

func parsePort(s string, lowest uint64) (uint16, error) {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil || n < lowest || s != strconv.FormatUint(n, 10) {
		return 0, mesh.Errorf(mesh.Invalid, "port %q must be a number from %d to 65535", s, lowest)
	}
	return uint16(n), nil
}

func parseBind(s string) (netip.Addr, error) {
	switch s {
	case "localhost":
		return defaultBind, nil
	case "", "*":
		return netip.Addr{}, mesh.Errorf(mesh.Invalid, "bind address %q is ambiguous; use 0.0.0.0 or [::] to listen on all addresses", s)
	}
	addr, ok, err := parseLiteral(s)
	if err == nil && !ok {
		err = mesh.Errorf(mesh.Invalid, "bind address %q is not an address of this host, such as 127.0.0.1 or [::1]", s)
	}
	return addr, err
}

func parseHost(s string) (string, error) {
	addr, ok, err := parseLiteral(s)
	switch {
	case err != nil:
		return "", err
	case ok && addr.IsUnspecified():
		return "", mesh.Errorf(mesh.Invalid, "host %q is not an address to connect to", s)
	case ok:
		return addr.String(), nil
	}
	name := strings.ToLower(strings.TrimSuffix(s, "."))
	if !isName(name) {
		return "", mesh.Errorf(mesh.Invalid, "host %q is neither a name nor an address", s)
	}
	return name, nil
}

// parseLiteral reads an IPv4 address, or an IPv6 address in brackets. ok is false when s is neither.
// An IPv4-mapped IPv6 address becomes an IPv4 address.
func parseLiteral(s string) (addr netip.Addr, ok bool, err error) {
	inner, bracketed := strings.CutPrefix(s, "[")
	inner = strings.TrimSuffix(inner, "]")
	addr, perr := netip.ParseAddr(inner)
	switch {
	case !bracketed:
		return addr, perr == nil && addr.Is4(), nil
	case perr != nil || addr.Is4():
		return addr, false, mesh.Errorf(mesh.Invalid, "%q is not an IPv6 address in brackets", s)
	case addr.Zone() != "":
		return addr, false, mesh.Errorf(mesh.Invalid, "%q has a zone, which cannot be forwarded", s)
	}
	return addr.Unmap(), true, nil
}

// isName reports whether s could be a host name: labels of letters, digits, hyphens and underscores.
// The last label is not a number, since s would then be a misspelt address.
func isName(s string) bool {
	if len(s) > 253 {
		return false
	}
	labels := strings.Split(s, ".")
	for _, l := range labels {
		if len(l) == 0 || len(l) > 63 || l[0] == '-' || l[len(l)-1] == '-' || strings.Trim(l, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return false
		}
	}
	return strings.Trim(labels[len(labels)-1], "0123456789") != ""
}
