package caps_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"nexd/internal/caps"
)

const childEnv = "NEXD_CAPS_TEST"

// TestMain is also the process that drops: there is no way back.
func TestMain(m *testing.M) {
	if os.Getenv(childEnv) == "" {
		os.Exit(m.Run())
	}
	err := caps.Keep(false, caps.NetAdmin)
	fmt.Println("err", err, "admin", held(caps.NetAdmin), "bind", held(caps.NetBindService))
	tasks, _ := os.ReadDir("/proc/self/task")
	for _, task := range tasks {
		b, _ := os.ReadFile("/proc/self/task/" + task.Name() + "/status")
		for line := range strings.Lines(string(b)) {
			if strings.HasPrefix(line, "Cap") || strings.HasPrefix(line, "NoNewPrivs") {
				fmt.Print(line)
			}
		}
	}
	os.Exit(0)
}

// dropping runs a test binary as the process that drops.
func dropping(t *testing.T, file string) (string, error) {
	t.Helper()
	cmd := exec.Command(file)
	cmd.Env = append(os.Environ(), childEnv+"=1")
	b, err := cmd.CombinedOutput()
	return string(b), err
}

func TestOnlyWhatIsNamedStays(t *testing.T) {
	if os.Geteuid() != 0 || !held(caps.NetAdmin) {
		t.Skip("not root with CAP_NET_ADMIN: there is nothing to drop")
	}
	out, err := dropping(t, "/proc/self/exe")
	if strings.Contains(out, "built with cgo") { // by the race detector; nexd has none
		own := filepath.Join(t.TempDir(), "caps.test")
		build := exec.Command("go", "test", "-c", "-o", own, ".")
		build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=")
		if b, err := build.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, b)
		}
		out, err = dropping(t, own)
	}
	if err != nil || !strings.HasPrefix(out, "err <nil> admin true bind false\n") {
		t.Fatalf("%v\n%s", err, out)
	}
	for line := range strings.Lines(out) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), ":\t")
		want := map[string]string{"CapInh": "0000000000000000", "CapPrm": "0000000000001000", "CapEff": "0000000000001000",
			"CapBnd": "0000000000000000", "CapAmb": "0000000000000000", "NoNewPrivs": "1"}[name]
		if ok && value != want {
			t.Errorf("a thread has %s %s, want %s", name, value, want)
		}
	}
}

// held reports whether this process has a capability now.
func held(c int) bool {
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	return unix.Capget(&hdr, &data[0]) == nil && data[c/32].Effective&(1<<(c%32)) != 0
}
