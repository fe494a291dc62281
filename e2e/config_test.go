package e2e

import (
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"nexd/internal/eventually"
)

// configWith returns a config file with the given forwards.
func configWith(forwards []string) string {
	return "# written by a test\nlog-level: debug\nlocal-forward:\n  - " + strings.Join(forwards, "\n  - ") + "\n"
}

// reloadConfig changes the laptop's config file and sends SIGHUP. The change adds a
// forward, removes one, adds a listener of the proxy, and changes a flag that needs a
// restart. Other connections and forwards continue: see the idle WebSockets, one of which
// uses a forward.
func reloadConfig(t *testing.T, w *world, laptop *node, path string, forwards []string) {
	if out, code := laptop.cli(testLimit, "config", "check", path); code != 0 {
		t.Errorf("config check: exit %d\n%s", code, out)
	}
	gone, there := "8730:172.24.0.10:8730", "8031:172.24.0.10:80"
	changed := append(slices.DeleteFunc(slices.Clone(forwards), func(f string) bool { return f == gone }), there)
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		laptop.cmd.Process.Signal(syscall.SIGHUP)
	}
	write(configWith(changed) + "mtu: 1400\nproxy-listen: [" + laptop.proxy + ", 127.0.0.1:1082]\n")
	eventually.Within(t, 10*time.Second, "the new forward works", func() bool {
		out, code := laptop.curl(5*time.Second, "http://127.0.0.1:8031/")
		return code == 0 && strings.Contains(out, marker)
	})
	if out, code := laptop.curl(5*time.Second, "-x", "socks5h://127.0.0.1:1082", "http://172.24.0.10/"); code != 0 || !strings.Contains(out, marker) {
		t.Errorf("the proxy's new listener: curl exit %d\n%s", code, out)
	}
	eventually.Within(t, 10*time.Second, "the log says that --mtu needs a restart", func() bool {
		return strings.Contains(laptop.log(), "need a restart") && strings.Contains(laptop.log(), "--mtu")
	})
	out, code := laptop.cli(testLimit, "forward", "list")
	if code != 0 || strings.Contains(out, gone) || !strings.Contains(out, there) || !strings.Contains(out, ".s.PGSQL.5432") {
		t.Errorf("after SIGHUP: exit %d\n%s", code, out)
	}
	write("hostnme: x\n")
	eventually.Within(t, 10*time.Second, "the log says what is wrong with the file", func() bool { return strings.Contains(laptop.log(), "did you mean hostname?") })
	if out, code := laptop.curl(5*time.Second, "http://127.0.0.1:8031/"); code != 0 || !strings.Contains(out, marker) {
		t.Errorf("a file with faults changed something: curl exit %d\n%s", code, out)
	}
}
