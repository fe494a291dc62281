package caps_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"nexd/internal/caps"
)

const childEnv = "NEXD_CAPS_TEST"

// TestMain is also the process that drops: there is no way back.
func TestMain(m *testing.M) {
	if os.Getenv(childEnv) == "" {
		os.Exit(m.Run())
	}
	err := caps.Keep(false, caps.NetAdmin)
	if errors.Is(err, syscall.ENOTSUP) {
		fmt.Println("ENOTSUP")
		os.Exit(0)
	}
	fmt.Println("err", err, "admin", caps.Held(caps.NetAdmin), "bind", caps.Held(caps.NetBindService))
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

func TestOnlyWhatIsNamedStays(t *testing.T) {
	if os.Geteuid() != 0 || !caps.Held(caps.NetAdmin) {
		t.Skip("not root with CAP_NET_ADMIN: there is nothing to drop")
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), childEnv+"=1")
	b, err := cmd.CombinedOutput()
	out := string(b)
	if strings.HasPrefix(out, "ENOTSUP") {
		t.Skip("a binary with cgo cannot set all its threads; nexd has none")
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
