package netcheck

import (
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// rememberFor is how long a NAT may admit an address because this host has sent to it.
const rememberFor = 15 * time.Minute

// finding is the filter that an earlier run found. Every run sends to all addresses of the service
// in the end, so a later one cannot tell a NAT that admits everybody from one with a set.
type finding struct {
	At        time.Time  `json:"at"` // of the last run
	Local     netip.Addr `json:"local"`
	Mapped    netip.Addr `json:"mapped"`
	Server    netip.Addr `json:"server"`
	Filtering Filtering  `json:"filtering"`
}

// about reports whether f is of this network, and recent.
func (f finding) about(o finding) bool {
	age := o.At.Sub(f.At)
	return f.Local == o.Local && f.Mapped == o.Mapped && f.Server == o.Server && age >= 0 && age < rememberFor
}

// recall returns what an earlier run found in this network.
func (c *checker) recall(now finding) (finding, bool) {
	all := readFindings(c.cfg.Memory)
	if i := slices.IndexFunc(all, func(f finding) bool { return f.about(now) }); i >= 0 {
		return all[i], true
	}
	return finding{}, false
}

// remember keeps a finding for later runs. A file that cannot be written is done without.
func (c *checker) remember(now finding) {
	if c.cfg.Memory == "" {
		return
	}
	c.mu.Lock() // both families write
	defer c.mu.Unlock()
	all := slices.DeleteFunc(readFindings(c.cfg.Memory), func(f finding) bool {
		return f.about(now) || now.At.Sub(f.At) >= rememberFor
	})
	b, err := json.Marshal(append(all, now))
	if err != nil {
		return
	}
	dir := filepath.Dir(c.cfg.Memory)
	if os.MkdirAll(dir, 0o700) != nil {
		return
	}
	tmp, err := os.CreateTemp(dir, ".netcheck-*")
	if err != nil {
		return
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(b)
	if cerr := tmp.Close(); err == nil && cerr == nil {
		os.Rename(tmp.Name(), c.cfg.Memory)
	}
}

func readFindings(path string) (all []finding) {
	if path == "" {
		return nil
	}
	b, err := os.ReadFile(path)
	if err != nil || json.Unmarshal(b, &all) != nil {
		return nil
	}
	return all
}
