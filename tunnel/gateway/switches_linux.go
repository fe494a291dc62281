package gateway

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"nexd/mesh"
)

// root is where the kernel's switches are.
const root = "/proc/sys/net/"

// want is a switch and what it has to be.
type want struct {
	path  string // below root
	value string
	iface string // that it belongs to; empty: the host
	swept bool   // a write to ipv6/conf/all/forwarding changes it: always put back
}

// entry is a switch that was changed, as the journal keeps it.
type entry struct {
	Path   string `json:"path"`
	Before string `json:"before"`
	Value  string `json:"value"` // what it was set to
	Index  int    `json:"index,omitempty"`
	Swept  bool   `json:"swept,omitempty"`
	Master string `json:"master,omitempty"` // the switch for all interfaces, at that time
}

// journal is the file with what has to be put back. It is written before a switch
// is touched, and is for one boot and one network namespace.
type journal struct {
	path    string
	Where   string  `json:"where"`
	Entries []entry `json:"entries"`
}

func journalPath(dir, iface string) string { return filepath.Join(dir, "gateway-"+iface+".json") }

// openJournal reads what an earlier process left. One of another boot or
// namespace is about switches that are gone.
func openJournal(dir, iface string) (*journal, error) {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return nil, mesh.Errorf(mesh.Unavailable, "gateway: %w", err)
	}
	ns, err := os.Readlink("/proc/thread-self/ns/net")
	if err != nil {
		return nil, mesh.Errorf(mesh.Unavailable, "gateway: %w", err)
	}
	j := &journal{path: journalPath(dir, iface), Where: strings.TrimSpace(string(boot)) + " " + ns}
	b, err := os.ReadFile(j.path)
	if errors.Is(err, fs.ErrNotExist) {
		return j, nil
	} else if err != nil {
		return nil, mesh.Errorf(mesh.Unavailable, "gateway: journal: %w", err)
	}
	var old journal
	if err := json.Unmarshal(b, &old); err == nil && old.Where == j.Where {
		j.Entries = slices.DeleteFunc(old.Entries, func(e entry) bool { return !safePath(e.Path) || e.Master != "" && !safePath(e.Master) })
	}
	return j, nil
}

// safePath says whether a switch of the journal is one that nexd could have set.
func safePath(p string) bool {
	return (strings.HasPrefix(p, "ipv4/conf/") || strings.HasPrefix(p, "ipv6/conf/")) && filepath.Clean(p) == p && strings.Count(p, "/") == 3
}

func (j *journal) save() error {
	if len(j.Entries) == 0 {
		if err := os.Remove(j.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return mesh.Errorf(mesh.Unavailable, "gateway: journal: %w", err)
		}
		return nil
	}
	b, err := json.MarshalIndent(j, "", " ")
	if err != nil {
		return err
	}
	next := j.path + ".new"
	if err := writeSynced(next, b); err != nil {
		return mesh.Errorf(mesh.Unavailable, "gateway: journal: %w", err)
	}
	if err := os.Rename(next, j.path); err != nil {
		return mesh.Errorf(mesh.Unavailable, "gateway: journal: %w", err)
	}
	return nil
}

func writeSynced(path string, b []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	return errors.Join(err, f.Sync(), f.Close())
}

// set makes the switches what is wanted, and puts back those that nobody wants any
// more.
func (j *journal) set(wants []want) error {
	wanted := map[string]bool{}
	changed := false
	for _, w := range wants {
		wanted[w.path] = true
		if i := j.find(w.path); i >= 0 && (w.iface == "" || j.Entries[i].Index == indexOf(w.iface)) {
			continue
		} else if i >= 0 { // an interface that was made anew
			j.Entries = slices.Delete(j.Entries, i, i+1)
			changed = true
		}
		now, ok := readSwitch(w.path)
		if !ok || now == w.value && !w.swept {
			continue
		}
		e := entry{Path: w.path, Before: now, Value: w.value, Swept: w.swept}
		if w.iface != "" {
			e.Index = indexOf(w.iface)
			e.Master = masterOf(w.path)
		}
		j.Entries = append(j.Entries, e)
		changed = true
	}
	var gone []entry
	for _, e := range j.Entries {
		if !wanted[e.Path] {
			gone = append(gone, e)
		}
	}
	if changed {
		if err := j.save(); err != nil {
			return err
		}
	}
	var errs []error
	for _, w := range wants {
		if now, ok := readSwitch(w.path); ok && now != w.value {
			errs = append(errs, writeSwitch(w.path, w.value))
		}
	}
	if len(gone) > 0 {
		errs = append(errs, j.restore(gone))
	}
	return errors.Join(errs...)
}

func (j *journal) find(path string) int {
	return slices.IndexFunc(j.Entries, func(e entry) bool { return e.Path == path })
}

// restore puts switches back, the last one first, and forgets them. A switch that
// somebody else has changed since is left alone.
func (j *journal) restore(which []entry) error {
	var errs []error
	for _, e := range slices.Backward(slices.Clone(which)) {
		if err := e.putBack(); err != nil {
			errs = append(errs, err)
			continue
		}
		if i := j.find(e.Path); i >= 0 {
			j.Entries = slices.Delete(j.Entries, i, i+1)
		}
	}
	return errors.Join(append(errs, j.save())...)
}

func (e *entry) putBack() error {
	now, ok := readSwitch(e.Path)
	if !ok || now == e.Before || now != e.Value && !e.Swept {
		return nil
	}
	if e.Index != 0 && e.Index != indexOf(strings.Split(e.Path, "/")[2]) {
		return nil // another interface of that name
	}
	if e.Master != "" && !e.Swept && e.Before == "0" {
		if master, _ := readSwitch(e.Master); master == "1" {
			return nil // since then somebody, Docker perhaps, wants all interfaces to forward
		}
	}
	return writeSwitch(e.Path, e.Before)
}

// masterOf is the switch for all interfaces whose change to 1 takes over a switch
// of one, if it was off when that one was set.
func masterOf(path string) string {
	if !strings.HasPrefix(path, "ipv4/") || !strings.HasSuffix(path, "/forwarding") {
		return ""
	}
	const all = "ipv4/conf/all/forwarding"
	if v, _ := readSwitch(all); v == "0" {
		return all
	}
	return ""
}

func indexOf(iface string) int {
	i, err := net.InterfaceByName(iface)
	if err != nil {
		return -1
	}
	return i.Index
}

func readSwitch(path string) (string, bool) {
	b, err := os.ReadFile(root + path)
	return strings.TrimSpace(string(b)), err == nil
}

func writeSwitch(path, value string) error {
	if err := os.WriteFile(root+path, []byte(value), 0); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return mesh.Errorf(mesh.Denied, "gateway: set net.%s = %s: %w", strings.ReplaceAll(path, "/", "."), value, err)
	}
	return nil
}

// wants are the switches that a plan needs. perInterface says that the kernel can
// forward IPv6 for single interfaces.
func (j *journal) wants(p *plan, perInterface bool) (out []want) {
	six := false
	add := func(path, value, iface string) {
		w := want{path: path, value: value, iface: iface}
		if !slices.Contains(out, w) {
			out = append(out, w)
		}
	}
	for _, w := range p.prefixes {
		names := []string{p.iface}
		for _, e := range w.links {
			names = append(names, e.name)
		}
		for _, n := range names {
			switch {
			case w.Local.Addr().Is4():
				add(fmt.Sprintf("ipv4/conf/%s/forwarding", n), "1", n)
			case perInterface:
				add(fmt.Sprintf("ipv6/conf/%s/force_forwarding", n), "1", n)
			default:
				six = true
			}
		}
	}
	if strict() { // WireGuard itself knows which peer may use which source
		add(fmt.Sprintf("ipv4/conf/%s/rp_filter", p.iface), "2", p.iface)
	}
	if six {
		out = append(out, j.wholeHost()...)
	}
	return out
}

// strict says whether the host's reverse-path filter would check the tunnel, too.
func strict() bool {
	all, _ := readSwitch("ipv4/conf/all/rp_filter")
	byDefault, _ := readSwitch("ipv4/conf/default/rp_filter")
	return all == "1" || byDefault == "1"
}

// hasForceForwarding says whether the kernel can forward IPv6 for single
// interfaces (Linux 6.17).
func hasForceForwarding() bool {
	_, ok := readSwitch("ipv6/conf/all/force_forwarding")
	return ok
}

// wholeHost switches IPv6 forwarding on where the kernel knows one switch only. A
// host that learned its default route from a router would lose it then: accept_ra 2
// keeps it.
func (j *journal) wholeHost() (out []want) {
	const all = "ipv6/conf/all/forwarding"
	if j.find(all) >= 0 { // done; what the interfaces had before is known
		for _, e := range j.Entries {
			if strings.HasPrefix(e.Path, "ipv6/") {
				out = append(out, want{path: e.Path, value: e.Value, swept: e.Swept})
			}
		}
		return out
	}
	if v, ok := readSwitch(all); !ok || v != "0" {
		return nil
	}
	names, err := os.ReadDir(root + "ipv6/conf")
	if err != nil {
		return nil
	}
	for _, n := range names {
		if n.Name() == "all" {
			continue
		}
		iface := n.Name()
		if iface == "default" {
			iface = ""
		}
		ra := "ipv6/conf/" + n.Name() + "/accept_ra"
		if v, _ := readSwitch(ra); v == "1" && iface != "" {
			out = append(out, want{path: ra, value: "2", iface: iface})
		}
		out = append(out, want{path: "ipv6/conf/" + n.Name() + "/forwarding", value: "1", iface: iface, swept: true})
	}
	return append(out, want{path: all, value: "1"})
}
