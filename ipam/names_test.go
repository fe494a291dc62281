package ipam_test

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"nexd/ipam"
	"nexd/mesh"
)

func TestNodeName(t *testing.T) {
	long := strings.Repeat("a", 80)
	for in, want := range map[string]string{
		"laptop":                       "laptop",
		"Ada's MacBook.local":          "ada-s-macbook",
		"ip-10-0-0-1.internal":         "ip-10-0-0-1",
		"":                             "node",
		"...":                          "node",
		"-_-":                          "node",
		"--web--1--":                   "web-1",
		"xn--mnchen-3ya":               "xn-mnchen-3ya", // no look-alikes
		"müller":                       "m-ller",
		"日本":                           "node",
		"12":                           "node-12",
		"0x7f":                         "node-0x7f",
		"0xg":                          "0xg",
		"<script>alert(1)":             "script-alert-1",
		"a\nb\x00c":                    "a-b-c",
		long:                           long[:63],
		strings.Repeat("1", 80):        "node-" + strings.Repeat("1", 58),
		strings.Repeat("b", 62) + "-c": strings.Repeat("b", 62),
	} {
		if got := ipam.NodeName(in); got != want {
			t.Errorf("NodeName(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestUniqueName(t *testing.T) {
	long := strings.Repeat("a", 63)
	taken := map[string]bool{"web": true, "web-2": true, long: true, long[:61] + "-2": true, strings.Repeat("b", 60) + "-c": true}
	look := func(_ context.Context, name string) (bool, error) { return taken[name], nil }
	for in, want := range map[string]string{
		"db":                           "db",
		"WEB":                          "web-3",
		"localhost":                    "localhost-2",
		"wpad":                         "wpad-2",
		"nexd":                         "nexd-2",
		long:                           long[:61] + "-3",
		strings.Repeat("b", 60) + "-c": strings.Repeat("b", 60) + "-2", // no double dash where it is cut
	} {
		if got, err := ipam.UniqueName(t.Context(), in, look); err != nil || got != want {
			t.Errorf("UniqueName(%q) = %q, %v; want %q", in, got, err, want)
		}
	}
	asked := 0
	many := map[string]bool{}
	for i := range 5000 {
		asked = 0
		name, err := ipam.UniqueName(t.Context(), "container", func(_ context.Context, name string) (bool, error) { asked++; return many[name], nil })
		if want := fmt.Sprint("container-", i+1); err != nil || i > 0 && name != want {
			t.Fatalf("UniqueName = %q, %v; want %q", name, err, want)
		}
		many[name] = true
	}
	if asked > 30 {
		t.Errorf("the 5000th name took %d questions", asked)
	}
	all := func(context.Context, string) (bool, error) { return true, nil }
	if _, err := ipam.UniqueName(t.Context(), "x", all); mesh.KindOf(err) != mesh.Exhausted {
		t.Errorf("UniqueName with all taken: %v", err)
	}
	broken := errors.New("broken")
	if _, err := ipam.UniqueName(t.Context(), "x", func(context.Context, string) (bool, error) { return false, broken }); !errors.Is(err, broken) {
		t.Errorf("UniqueName hides %v: %v", broken, err)
	}
}

var label = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

func FuzzNodeName(f *testing.F) {
	for _, s := range []string{"laptop", "", "Ada's MacBook.local", "0x", "\xff\xfe", "İ", "K"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		name := ipam.NodeName(s)
		if !label.MatchString(name) || strings.Contains(name, "--") {
			t.Fatalf("NodeName(%q) = %q, which is no label", s, name)
		}
		if again := ipam.NodeName(name); again != name {
			t.Fatalf("NodeName(%q) = %q, and of that %q", s, name, again)
		}
		if err := ipam.CheckName(name); err != nil {
			t.Fatalf("CheckName(%q) = %v", name, err)
		}
		second, err := ipam.UniqueName(t.Context(), s, func(_ context.Context, n string) (bool, error) { return n == name, nil })
		if err != nil || second == name || !label.MatchString(second) {
			t.Fatalf("UniqueName(%q) = %q, %v after %q", s, second, err, name)
		}
	})
}
