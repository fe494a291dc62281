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

// root is the directory of the kernel's settings.
const root = "/proc/sys/net/"

// want is a setting and its wanted value.
type want struct {
	path  string // below root
	value string
	iface string // its interface; empty: the host
	swept bool   // a write to ipv6/conf/all/forwarding changes it, so it is always restored
}

// entry is a changed setting in the journal.
type entry struct {
	Path   string `json:"path"`
	Before string `json:"before"`
	Value  string `json:"value"` // the new value
	Index  int    `json:"index,omitempty"`
	Swept  bool   `json:"swept,omitempty"`
	Master string `json:"master,omitempty"` // the value for all interfaces at that time
}

// journal is the file with the values to restore. It is written before a setting changes,
// and is valid for one boot and one network namespace.
type journal struct {
	path    string
	Where   string  `json:"where"`
	Entries []entry `json:"entries"`
}

func journalPath(dir, iface string) string { return filepath.Join(dir, "gateway-"+iface+".json") }

// openJournal reads the journal of an earlier process. It ignores one of another boot or
// namespace, whose settings no longer exist.
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

// safePath reports whether nexd could have changed a setting of the journal.
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

// set applies the wanted settings, and restores those that are no longer wanted.
func (j *journal) set(wants []want) error {
	wanted := map[string]bool{}
	changed := false
	for _, w := range wants {
		wanted[w.path] = true
		if i := j.find(w.path); i >= 0 && (w.iface == "" || j.Entries[i].Index == indexOf(w.iface)) {
			continue
		} else if i >= 0 { // a new interface of the same name
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

// restore restores settings, the last one first, and removes them from the journal. It does
// not change a setting that somebody else has changed since.
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
			return nil // since then somebody, perhaps Docker, has set all interfaces to forward
		}
	}
	return writeSwitch(e.Path, e.Before)
}

// masterOf returns the setting for all interfaces that takes over the setting of one when
// somebody changes it from 0 to 1.
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

// wants returns the settings that a plan needs. perInterface means that the kernel has IPv6
// forwarding settings per interface.
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
	if strict() { // WireGuard itself checks which peer may use which source
		add(fmt.Sprintf("ipv4/conf/%s/rp_filter", p.iface), "2", p.iface)
	}
	if six {
		out = append(out, j.wholeHost()...)
	}
	return out
}

// strict reports whether the host's strict reverse-path filter applies to the tunnel.
func strict() bool {
	all, _ := readSwitch("ipv4/conf/all/rp_filter")
	byDefault, _ := readSwitch("ipv4/conf/default/rp_filter")
	return all == "1" || byDefault == "1"
}

// hasForceForwarding reports whether the kernel has IPv6 forwarding settings per interface
// (Linux 6.17).
func hasForceForwarding() bool {
	_, ok := readSwitch("ipv6/conf/all/force_forwarding")
	return ok
}

// wholeHost enables IPv6 forwarding where the kernel has only one setting. A host that
// learned its default route from a router would then lose that route; accept_ra = 2 keeps
// it.
func (j *journal) wholeHost() (out []want) {
	const all = "ipv6/conf/all/forwarding"
	if j.find(all) >= 0 { // done before; the journal has the previous values
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
