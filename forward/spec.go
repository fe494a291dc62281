package forward

import (
	"net"
	"net/netip"
	"strconv"
	"strings"

	"nexd/mesh"
)

// Direction says which side listens.
type Direction uint8

const (
	Local  Direction = iota // -L: the host listens, the target is in the mesh
	Remote                  // -R: the mesh addresses listen, the target is the host's
)

// String is the direction in words.
func (d Direction) String() string {
	if d == Remote {
		return "remote"
	}
	return "local"
}

// Flag is the option that takes such a rule.
func (d Direction) Flag() string {
	if d == Remote {
		return "-R"
	}
	return "-L"
}

// Spec is one forward, as written. It is comparable: two equal ones are the same
// rule.
type Spec struct {
	Direction Direction
	Network   string     // tcp or udp
	Bind      netip.Addr // Local only
	Port      uint16     // where to listen; 0 for a Local one: any free port
	Host      string     // target: a name in lower case or an address, without brackets
	HostPort  uint16
}

// defaultBind is where a local forward listens unless told otherwise.
var defaultBind = netip.AddrFrom4([4]byte{127, 0, 0, 1})

// ParseLocal reads [BIND:]PORT:HOST:HOSTPORT[/udp], the argument of -L.
func ParseLocal(s string) (Spec, error) { return parse(Local, s) }

// ParseRemote reads PORT:HOST:HOSTPORT[/udp], the argument of -R.
func ParseRemote(s string) (Spec, error) { return parse(Remote, s) }

// Parse reads the argument of the direction's flag.
func Parse(d Direction, s string) (Spec, error) { return parse(d, s) }

func parse(d Direction, s string) (Spec, error) {
	spec := Spec{Direction: d, Network: "tcp"}
	if err := spec.read(s); err != nil {
		return Spec{}, mesh.Errorf(mesh.Invalid, "forward: %s %q: %w", d.Flag(), s, err)
	}
	return spec, nil
}

func (s *Spec) read(text string) (err error) {
	if rest, network, ok := strings.Cut(text, "/"); ok {
		if network != "tcp" && network != "udp" {
			return mesh.Errorf(mesh.Invalid, "%q after the slash is neither tcp nor udp", network)
		}
		text, s.Network = rest, network
	}
	fields, err := split(text)
	if err != nil {
		return err
	}
	if s.Direction == Local {
		s.Bind = defaultBind
		if len(fields) == 4 {
			if s.Bind, err = parseBind(fields[0]); err != nil {
				return err
			}
			fields = fields[1:]
		}
	}
	if err := s.count(fields); err != nil {
		return err
	}
	lowest := uint64(1)
	if s.Direction == Local {
		lowest = 0
	}
	if s.Port, err = parsePort(fields[0], lowest); err != nil {
		return err
	}
	if s.Host, err = parseHost(fields[1]); err != nil {
		return err
	}
	s.HostPort, err = parsePort(fields[2], 1)
	return err
}

// count complains about a wrong number of fields in a way that helps.
func (s *Spec) count(fields []string) error {
	want := "[BIND:]PORT:HOST:HOSTPORT"
	if s.Direction == Remote {
		want = "PORT:HOST:HOSTPORT"
	}
	switch {
	case len(fields) == 3:
		return nil
	case len(fields) == 4 && s.Direction == Remote:
		return mesh.Errorf(mesh.Invalid, "want %s; it listens on this node's mesh addresses, so there is no address to choose", want)
	case len(fields) > 3:
		return mesh.Errorf(mesh.Invalid, "%d fields, want %s; an IPv6 address needs brackets, as in [fd00::1]", len(fields), want)
	default:
		return mesh.Errorf(mesh.Invalid, "want %s", want)
	}
}

// split cuts at the colons outside brackets. A bracketed field keeps its
// brackets.
func split(s string) (fields []string, err error) {
	for {
		end := strings.IndexByte(s, ':')
		if strings.HasPrefix(s, "[") {
			closing := strings.IndexByte(s, ']')
			if closing < 0 {
				return nil, mesh.Errorf(mesh.Invalid, "no ] after %q", s)
			}
			if closing+1 < len(s) && s[closing+1] != ':' {
				return nil, mesh.Errorf(mesh.Invalid, "%q after %q; want a colon", s[closing+1:], s[:closing+1])
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
		return 0, mesh.Errorf(mesh.Invalid, "port %q is not a number from %d to 65535", s, lowest)
	}
	return uint16(n), nil
}

func parseBind(s string) (netip.Addr, error) {
	switch s {
	case "localhost":
		return defaultBind, nil
	case "", "*":
		return netip.Addr{}, mesh.Errorf(mesh.Invalid, "bind address %q; write 0.0.0.0 or [::] to listen on every address", s)
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
		return "", mesh.Errorf(mesh.Invalid, "host %q is no address to connect to", s)
	case ok:
		return addr.String(), nil
	}
	name := strings.ToLower(strings.TrimSuffix(s, "."))
	if !isName(name) {
		return "", mesh.Errorf(mesh.Invalid, "host %q is neither a name nor an address", s)
	}
	return name, nil
}

// parseLiteral reads an IPv4 address, or an IPv6 one in brackets; ok is false
// when s is neither. IPv4 written as IPv6 is made IPv4.
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

// isName says whether s could be a host name: letters, digits, hyphens and
// underscores in labels, the last of which is no number (that would be a
// misspelt address).
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

// String is the form that Parse reads; what is default is left out.
func (s Spec) String() string {
	text := strconv.Itoa(int(s.Port)) + ":" + s.Target()
	if s.Direction == Local && s.Bind != defaultBind {
		text = net.JoinHostPort(s.Bind.String(), text) // brackets IPv6
	}
	if s.Network == "udp" {
		text += "/udp"
	}
	return text
}

// Target is HOST:HOSTPORT as dialers take it.
func (s Spec) Target() string { return net.JoinHostPort(s.Host, strconv.Itoa(int(s.HostPort))) }

// listens are the networks and addresses to listen on.
func (s Spec) listens() [][2]string {
	port := strconv.Itoa(int(s.Port))
	switch {
	case s.Direction == Remote:
		return [][2]string{{s.Network + "4", net.JoinHostPort("0.0.0.0", port)}, {s.Network + "6", net.JoinHostPort("::", port)}}
	case s.Bind.Is4():
		return [][2]string{{s.Network + "4", net.JoinHostPort(s.Bind.String(), port)}}
	default:
		return [][2]string{{s.Network + "6", net.JoinHostPort(s.Bind.String(), port)}}
	}
}

// check says whether the spec is one that Parse could have made.
func (s Spec) check() error {
	again, err := parse(s.Direction, s.String())
	if err != nil {
		return err
	}
	if again != s {
		return mesh.Errorf(mesh.Invalid, "forward: rule %#v is not well formed", s)
	}
	return nil
}
