//go:build linux

package main

import "testing"

// Without a proxy datagrams reach the load server as they are.
func TestWaysOfDatagrams(t *testing.T) {
	o := options{bin: "."}
	for name, want := range map[string]int{"raw": 1, "wggo": 1, "nexd-tun": 1, "nexd": 2, "stock": 0} {
		d := &deployment{system: newSystem(name, o)}
		ways := d.ways()
		if len(ways) != want {
			t.Errorf("%s: %v", name, ways)
		}
		if d.system.proxy() == "" && ways["udpassoc"].Associate {
			t.Errorf("%s: ASSOCIATE without a proxy", name)
		}
	}
}
