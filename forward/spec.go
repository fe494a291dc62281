package forward

import (
	"net"
	"net/netip"
	"strconv"
	"strings"

	"nexd/internal/unixsock"
	"nexd/mesh"
)

// Direction is the side that listens.
type Direction uint8

const (
	Local  Direction = iota // -L: the host listens, the target is in the mesh
	Remote                  // -R: the mesh addresses listen, the target is the host's
)

// String returns local or remote.
func (d Direction) String() string {
	if d == Remote {
		return "remote"
	}
	return "local"
}

// Flag returns the option for a rule of this direction.
func (d Direction) Flag() string {
	if d == Remote {
		return "-R"
	}
	return "-L"
}

// Spec is one forward as a person writes it. Equal specs are the same rule.
type Spec struct {
	Direction Direction
	Network   string     // tcp or udp
	Bind      netip.Addr // Local only
	Path      string     // Local only: the Unix socket to listen on, instead of Bind and Port
	Port      uint16     // where to listen; for Local, 0 is any free port
	Span      uint16     // further ports; each goes to the target port at the same distance from HostPort
	Host      string     // target: a name in lower case, an address without brackets, or the path of a Unix socket
	HostPort  uint16     // 0 with a path
	More      string     // further targets as written, joined by commas; all targets take turns
}

// Limits of one rule: maxSpan further ports, maxTargets targets.
const (
	maxSpan    = 1023
	maxTargets = 32
)

// defaultBind is the address on which a local forward listens by default.
var defaultBind = netip.AddrFrom4([4]byte{127, 0, 0, 1})

// ParseLocal reads [BIND:]PORT:HOST:HOSTPORT[/udp], the argument of -L. PORT and
// HOSTPORT may be ranges, [BIND:]PORT a Unix socket's path, and targets a list.
func ParseLocal(s string) (Spec, error) { return parse(Local, s) }

// ParseRemote reads PORT:HOST:HOSTPORT[/udp], the argument of -R. Ports may be
// ranges, a target a Unix socket's path, and targets a list.
func ParseRemote(s string) (Spec, error) { return parse(Remote, s) }

func parse(d Direction, s string) (Spec, error) {
	spec := Spec{Direction: d, Network: "tcp"}
	if err := spec.read(s); err != nil {
		return Spec{}, mesh.Errorf(mesh.Invalid, "forward: %s %q: %w", d.Flag(), s, err)
	}
	return spec, nil
}

func (s *Spec) read(text string) error {
	text, more, several := strings.Cut(text, ",")
	if several && more == "" {
		return mesh.Errorf(mesh.Invalid, "missing target after the comma")
	}
	end := &text // the network is at the end
	if several {
		end = &more
	}
	last := strings.LastIndexByte(*end, ',') + 1
	tail, err := s.readNetwork((*end)[last:])
	if err != nil {
		return err
	}
	*end = (*end)[:last] + tail
	fields, err := split(text)
	if err != nil {
		return err
	}
	if fields, err = s.readWhere(fields); err != nil {
		return err
	}
	first, err := parseTarget(fields, s.Direction)
	if err != nil {
		return err
	}
	s.Host, s.HostPort = first.host, first.port
	return s.readMore(first, more)
}

// readNetwork removes /tcp or /udp from the end. A path has none.
func (s *Spec) readNetwork(text string) (string, error) {
	from := 0
	if isPath(text) {
		from = strings.IndexByte(text, ':') + 1 // after the path to listen on
	}
	if strings.Contains(text[from:], ":/") {
		return text, nil // the target is a path
	}
	k := strings.IndexByte(text[from:], '/')
	if k < 0 || from == 0 && isPath(text) {
		return text, nil
	}
	network := text[from+k+1:]
	if network != "tcp" && network != "udp" {
		return "", mesh.Errorf(mesh.Invalid, "protocol %q must be tcp or udp", network)
	}
	s.Network = network
	return text[:from+k], nil
}

func isPath(s string) bool { return strings.HasPrefix(s, "/") }

// readWhere reads where to listen, and returns the fields of the target.
func (s *Spec) readWhere(fields []string) (_ []string, err error) {
	if s.Direction == Local && isPath(fields[0]) {
		s.Path = fields[0]
		if len(s.Path) > unixsock.MaxPath {
			return nil, mesh.Errorf(mesh.Invalid, "path %q is longer than %d bytes", s.Path, unixsock.MaxPath)
		}
		if len(fields) != 3 {
			return nil, mesh.Errorf(mesh.Invalid, "expected /PATH:HOST:HOSTPORT")
		}
		return fields[1:], nil
	}
	if s.Direction == Local {
		s.Bind = defaultBind
		if len(fields) == 4 {
			if s.Bind, err = parseBind(fields[0]); err != nil {
				return nil, err
			}
			fields = fields[1:]
		}
	}
	if err := s.count(fields); err != nil {
		return nil, err
	}
	lowest := uint64(1)
	if s.Direction == Local {
		lowest = 0
	}
	s.Port, s.Span, err = parsePorts(fields[0], lowest)
	return fields[1:], err
}

// readMore reads the targets after the first, and checks that all targets match the ports.
func (s *Spec) readMore(first targetSpec, more string) error {
	all := []targetSpec{first}
	var texts []string
	for more != "" {
		var one string
		one, more, _ = strings.Cut(more, ",")
		fields, err := split(one)
		if err != nil {
			return err
		}
		t, err := parseTarget(fields, s.Direction)
		if err != nil {
			return err
		}
		all = append(all, t)
		texts = append(texts, t.String())
	}
	if len(all) > maxTargets {
		return mesh.Errorf(mesh.Invalid, "%d targets are too many; at most %d are allowed", len(all), maxTargets)
	}
	for _, t := range all {
		switch {
		case (isPath(t.host) || s.Path != "") && s.Network == "udp":
			return mesh.Errorf(mesh.Invalid, "a Unix socket cannot carry UDP")
		case isPath(t.host) && s.Span > 0:
			return mesh.Errorf(mesh.Invalid, "a port range cannot be forwarded to the single socket %s", t.host)
		case t.span != s.Span:
			return mesh.Errorf(mesh.Invalid, "the port ranges differ in size: %d and %d ports", int(s.Span)+1, int(t.span)+1)
		}
	}
	s.More = strings.Join(texts, ",")
	return nil
}

// count checks the number of fields.
func (s *Spec) count(fields []string) error {
	want := "[BIND:]PORT:HOST:HOSTPORT"
	if s.Direction == Remote {
		want = "PORT:HOST:HOSTPORT"
	}
	switch {
	case len(fields) == 3, len(fields) == 2 && s.Direction == Remote && isPath(fields[1]):
		return nil
	case len(fields) == 4 && s.Direction == Remote:
		return mesh.Errorf(mesh.Invalid, "expected %s; a remote forward listens on this node's mesh addresses and takes no bind address", want)
	case len(fields) > 3:
		return mesh.Errorf(mesh.Invalid, "found %d fields, expected %s; an IPv6 address needs brackets, as in [fd00::1]", len(fields), want)
	default:
		return mesh.Errorf(mesh.Invalid, "expected %s", want)
	}
}

// String returns the form that ParseLocal and ParseRemote read, without defaults.
func (s Spec) String() string {
	text := s.where() + ":" + targetSpec{s.Host, s.HostPort, s.Span}.String()
	if s.More != "" {
		text += "," + s.More
	}
	if s.Network == "udp" {
		text += "/udp"
	}
	return text
}

func (s Spec) where() string {
	ports := rangeText(s.Port, s.Span)
	switch {
	case s.Path != "":
		return s.Path
	case s.Direction == Local && s.Bind != defaultBind:
		return net.JoinHostPort(s.Bind.String(), ports) // brackets IPv6
	}
	return ports
}

// Target returns the first target in the form that dialers take: HOST:HOSTPORT, or a path.
func (s Spec) Target() string { return s.targets(0)[0] }

// listensAt returns the networks and addresses to listen on, for the port at an offset from the
// first.
func (s Spec) listensAt(offset uint16) [][2]string {
	port := strconv.Itoa(int(s.Port) + int(offset))
	switch {
	case s.Path != "":
		return [][2]string{{"unix", s.Path}}
	case s.Direction == Remote:
		return [][2]string{{s.Network + "4", net.JoinHostPort("0.0.0.0", port)}, {s.Network + "6", net.JoinHostPort("::", port)}}
	case s.Bind.Is4():
		return [][2]string{{s.Network + "4", net.JoinHostPort(s.Bind.String(), port)}}
	default:
		return [][2]string{{s.Network + "6", net.JoinHostPort(s.Bind.String(), port)}}
	}
}

// check returns an error unless parsing could have made the spec.
func (s Spec) check() error {
	parsed, err := parse(s.Direction, s.String())
	if err != nil {
		return err
	}
	if parsed != s {
		return mesh.Errorf(mesh.Invalid, "forward: rule %#v is not well formed", s)
	}
	return nil
}
