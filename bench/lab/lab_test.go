//go:build linux

package lab

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestOwnerOf(t *testing.T) {
	for name, want := range map[string]int{"nxb123-4a": 123, "nxb7-1c": 7, "nxb-1a": 0, "nxb12": 0, "e2e9-a": 0, "nxbx9-a": 0} {
		pid, ok := ownerOf(name)
		if ok != (want != 0) || ok && pid != want {
			t.Errorf("ownerOf(%q) = %d, %v", name, pid, ok)
		}
	}
	if !alive(os.Getpid()) {
		t.Error("this test does not live")
	}
}

func TestSettingsArePutBack(t *testing.T) {
	file := filepath.Join(t.TempDir(), "limit")
	if err := os.WriteFile(file, []byte("4194304\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	read := func() string { b, _ := os.ReadFile(file); return strings.TrimSpace(string(b)) }
	broken := errors.New("broken")
	err := withSettings(map[string]string{file: "212992"}, func() error {
		if read() != "212992" {
			t.Errorf("inside it is %s", read())
		}
		return broken
	})
	if !errors.Is(err, broken) || read() != "4194304" {
		t.Errorf("afterwards it is %s, %v", read(), err)
	}
	err = withSettings(map[string]string{file + ".none": "1"}, func() error { t.Error("ran without its setting"); return nil })
	if !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a setting that does not exist: %v", err)
	}
}

func TestFeatureRequest(t *testing.T) {
	all := make([]string, 40)
	all[3], all[33], all[34] = "rx-gro", "tx-udp-segmentation", "other"
	names := []string{"tx-udp-segmentation", "rx-gro", "not there"}
	for on, want := range map[bool]string{
		false: fmt.Sprint([]uint32{unix.ETHTOOL_SFEATURES, 2, 1 << 3, 0, 1 << 1, 0}),
		true:  fmt.Sprint([]uint32{unix.ETHTOOL_SFEATURES, 2, 1 << 3, 1 << 3, 1 << 1, 1 << 1}),
	} {
		if got := fmt.Sprint(featureRequest(all, names, on)); got != want {
			t.Errorf("on=%v: %v, want %v", on, got, want)
		}
	}
}

// TestNamespaces makes a real lab, where that is asked for.
func TestNamespaces(t *testing.T) {
	if os.Getenv("NEXD_E2E") == "" || os.Geteuid() != 0 {
		t.Skip("makes network namespaces; needs NEXD_E2E=1 and root")
	}
	for i, p := range []Path{{}, {NoOffload: true}} {
		l, err := New(t.Context(), "", t.TempDir(), 900+i, p, "reno")
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Run(t.Context(), l.Cmd("ip netns exec %s ping -c 1 -W 2 %s", l.NS(HostA), WanB)); err != nil && !strings.Contains(err.Error(), "not found") {
			t.Error(err)
		}
		l.Close()
		if _, err := os.Stat("/var/run/netns/" + l.NS(HostA)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("namespace %s is left: %v", l.NS(HostA), err)
		}
	}
}
