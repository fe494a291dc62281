//go:build linux

package main

import (
	"encoding/hex"
	"strings"
	"testing"

	"nexd/bench/lab"
)

func TestPairFitsTogether(t *testing.T) {
	p, err := newPair()
	if err != nil {
		t.Fatal(err)
	}
	value := func(text, key string) (v []string) {
		for line := range strings.Lines(text) {
			if k, val, _ := strings.Cut(strings.TrimSpace(line), "="); k == key {
				v = append(v, val)
			}
		}
		return v
	}
	for _, text := range []string{p.a, p.b} {
		for _, key := range []string{"private_key", "public_key"} {
			if v := value(text, key); len(v) != 1 || len(v[0]) != 64 {
				t.Errorf("%s is %q in\n%s", key, v, text)
			} else if _, err := hex.DecodeString(v[0]); err != nil {
				t.Error(err)
			}
		}
	}
	if got := value(p.a, "endpoint"); len(got) != 1 || got[0] != "192.0.2.11:51820" {
		t.Errorf("endpoint %q", got)
	}
	if got := value(p.b, "listen_port"); len(got) != 1 || got[0] != "51820" {
		t.Errorf("listen port %q", got)
	}
}

func TestStaticMapIsJSON(t *testing.T) {
	got := staticMap("bench-a", lab.MeshA, "bench-b", "KEY=", lab.MeshB, `,"prefixes":["172.24.0.0/24"]`)
	want := `{"self":{"name":"bench-a","addresses":["100.64.0.2"]},"peers":[{"name":"bench-b","key":"KEY=","addresses":["100.64.0.1"],"prefixes":["172.24.0.0/24"]}]}`
	if got != want {
		t.Errorf("map\n%s, want\n%s", got, want)
	}
}
