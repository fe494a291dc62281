package datapath

import (
	"net"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestStrictInterfaces(t *testing.T) {
	var up []string
	interfaces, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range interfaces {
		if i.Flags&net.FlagUp != 0 && i.Flags&net.FlagLoopback == 0 {
			up = append(up, i.Name)
		}
	}
	dir := t.TempDir()
	for _, tt := range []struct {
		all, each string
		strict    bool
	}{{"0", "0", false}, {"0", "1", true}, {"1", "0", true}, {"1", "2", false}, {"2", "1", false}, {"0", "2", false}} {
		for _, name := range append([]string{"all"}, up...) {
			value := tt.each
			if name == "all" {
				value = tt.all
			}
			os.MkdirAll(filepath.Join(dir, name), 0o755)
			if err := os.WriteFile(filepath.Join(dir, name, "rp_filter"), []byte(value+"\n"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		var want []string
		if tt.strict {
			want = up
		}
		if got := strictInterfaces(dir, "wg0"); !slices.Equal(got, want) {
			t.Errorf("all=%s, each=%s: %v", tt.all, tt.each, got)
		}
	}
}
