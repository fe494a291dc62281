package node

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"nexd/internal/lpm"
	"nexd/internal/periodic"
	"nexd/ipam"
	"nexd/mesh"
	"nexd/netmap"
	"nexd/tunnel/candidates"
)

// mapPollEvery is how often the node looks whether a static map's file has changed.
const mapPollEvery = 2 * time.Second

// staticFile is a file with a network map, used in place of a service.
type staticFile struct {
	path   string
	own    mesh.Key
	wanted []mesh.Advertisement
	log    *slog.Logger
}

// follow puts the map into force, calls begun, and puts each changed version of the file
// into force until ctx ends. Only a fault of the first version is an error.
func (s *staticFile) follow(ctx context.Context, f *follower, begun func()) error {
	m, err := readStaticMap(s.path, s.own, s.wanted)
	if err != nil {
		return err
	}
	last, _ := os.Stat(s.path)
	if err := f.apply(s.view(m)); err != nil {
		return err
	}
	begun()
	f.markReady()
	return periodic.Run(ctx, mapPollEvery, func() error {
		now, err := os.Stat(s.path)
		if err != nil || last != nil && now.ModTime().Equal(last.ModTime()) && now.Size() == last.Size() {
			return nil
		}
		last = now
		m, err := readStaticMap(s.path, s.own, s.wanted)
		if err != nil {
			s.log.Warn("the changed static map is ignored", "err", err)
			return nil
		}
		if err := f.apply(s.view(m)); err != nil {
			return err
		}
		s.log.Info("static map changed", "peers", len(m.Peers))
		return nil
	})
}

// view returns a view of m alone, because the versions in a file mean nothing.
func (s *staticFile) view(m *mesh.NetworkMap) *netmap.View {
	v, _ := netmap.New(s.wanted).Replace(m)
	return v
}

// readStaticMap reads a mesh.NetworkMap as JSON whose self entry describes this node, which
// advertises wanted. docs/static-map.md shows one. The key of self may be left out; pools may be
// left out when the nodes' addresses come from the usual ones. Nobody else checks such a file, so
// what the node would only leave out of a service's map is an error here.
func readStaticMap(path string, own mesh.Key, wanted []mesh.Advertisement) (*mesh.NetworkMap, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, mesh.Errorf(mesh.Unavailable, "node: static map: %w", err)
	}
	m, err := parseStaticMap(text)
	if err == nil {
		err = completeStatic(m, own)
	}
	if err == nil {
		m.Self.Prefixes = nil // they come from the configuration, not from the file
		for _, a := range wanted {
			m.Self.Prefixes = append(m.Self.Prefixes, a.Prefix)
		}
		v, _ := netmap.New(wanted).Replace(m)
		if err = unreachable(v); len(v.Rejected) > 0 {
			err = errors.New(strings.Join(v.Rejected, "; "))
		}
	}
	if err != nil {
		return nil, mesh.Errorf(mesh.Invalid, "node: static map %s: %w", path, err)
	}
	return m, nil
}

// unreachable refuses an endpoint inside the mesh: the tunnel cannot carry itself.
func unreachable(v *netmap.View) error {
	for _, p := range v.Peers {
		for _, e := range p.Endpoints {
			if v.Pooled(e.Addr().Unmap()) {
				return mesh.Errorf(mesh.Invalid, "endpoint %v of %s is in the range of the mesh's own addresses; name the node's address in its own network", e, p.Name)
			}
		}
	}
	return nil
}

func parseStaticMap(text []byte) (*mesh.NetworkMap, error) {
	m := new(mesh.NetworkMap)
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	err := dec.Decode(m)
	switch {
	case err == io.EOF:
		return nil, errors.New("the file is empty")
	case err == nil && dec.More():
		err = errors.New("unexpected data after the map")
	case err == nil:
		return m, nil
	}
	at := dec.InputOffset()
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		at = syntax.Offset
	}
	return nil, fmt.Errorf("line %d: %w", 1+bytes.Count(text[:min(at, int64(len(text)))], []byte("\n")), err)
}

// completeStatic checks a static map and fills in what may be left out.
func completeStatic(m *mesh.NetworkMap, own mesh.Key) error {
	if m.Self.Key.IsZero() {
		m.Self.Key = own
	}
	if m.Self.Key != own {
		return mesh.Errorf(mesh.Invalid, "self has key %v, but this node's key is %v (nexd key prints it)", m.Self.Key, own)
	}
	if len(m.Self.Addresses) == 0 || m.Self.Name == "" {
		return mesh.Errorf(mesh.Invalid, "self needs a name and at least one address")
	}
	if m.Organization == "" {
		m.Organization = "static"
	}
	nodes := append([]*mesh.Node{&m.Self}, pointers(m.Peers)...)
	names, keys := map[string]bool{}, map[mesh.Key]string{}
	pools, pooled := lpm.SetOf(m.Pools), map[netip.Addr]bool{}
	for _, n := range nodes {
		if n.ID == "" {
			n.ID = mesh.NodeID(n.Name)
		}
		if err := checkStatic(n); err != nil {
			return err
		}
		if names[n.Name] {
			return mesh.Errorf(mesh.Invalid, "node name %q is used twice", n.Name)
		}
		if other, ok := keys[n.Key]; ok {
			return mesh.Errorf(mesh.Invalid, "nodes %s and %s have the same key %v", other, n.Name, n.Key)
		}
		names[n.Name], keys[n.Key] = true, n.Name
		for _, a := range n.Addresses {
			if !pools.Has(a) && !pooled[a] {
				pooled[a] = true
				m.Pools = append(m.Pools, mesh.HostPrefix(a))
			}
		}
	}
	slices.SortFunc(m.Peers, func(a, b mesh.Node) int { return strings.Compare(a.Name, b.Name) })
	return nil
}

// checkStatic checks one node of a static map on its own.
func checkStatic(n *mesh.Node) error {
	if err := ipam.CheckName(n.Name); err != nil {
		return err
	}
	if n.Key.IsZero() {
		return mesh.Errorf(mesh.Invalid, "node %s has no key", n.Name)
	}
	if len(n.Addresses) == 0 {
		return mesh.Errorf(mesh.Invalid, "node %s needs at least one address", n.Name)
	}
	for _, a := range n.Addresses {
		if !a.IsGlobalUnicast() || a.Is4In6() || a.Zone() != "" {
			return mesh.Errorf(mesh.Invalid, "node %s has the invalid address %v", n.Name, a)
		}
	}
	if len(n.Endpoints) > candidates.Max {
		return mesh.Errorf(mesh.Invalid, "node %s has %d endpoints; at most %d are tried", n.Name, len(n.Endpoints), candidates.Max)
	}
	for _, e := range n.Endpoints {
		if e.Port() == 0 || e.Addr().IsUnspecified() || e.Addr().IsMulticast() {
			return mesh.Errorf(mesh.Invalid, "node %s has the invalid endpoint %v; an endpoint is the ADDRESS:PORT of the node's WireGuard socket", n.Name, e)
		}
	}
	return nil
}

func pointers(nodes []mesh.Node) (out []*mesh.Node) {
	for i := range nodes {
		out = append(out, &nodes[i])
	}
	return out
}
