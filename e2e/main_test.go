package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestMain makes the test binary the program of the containers too. Without root it enters
// a user namespace.
func TestMain(m *testing.M) {
	if os.Getenv("NEXD_E2E_HELPER") != "" {
		if err := helper(os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, "helper:", err)
			os.Exit(1)
		}
		return
	}
	if os.Getenv("NEXD_E2E") != "" && os.Geteuid() != 0 {
		os.Exit(enterUserNamespace())
	}
	code, err := withCopies(m.Run)
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		code = 1
	}
	os.Exit(code)
}

// withCopies copies the binaries, including this one, to a directory where every user can
// run them, because a build directory is often private.
func withCopies(run func() int) (code int, err error) {
	if os.Getenv("NEXD_E2E") == "" {
		return run(), nil
	}
	dir, err := os.MkdirTemp("", "nexd-e2e-bin")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil {
		return 0, err
	}
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	for name, from := range map[string]string{"helper": self, "nexd": bin("nexd"), "nexservice": bin("nexservice")} {
		b, err := os.ReadFile(from)
		if err != nil {
			return 0, fmt.Errorf("%w; make e2e builds it", err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o755); err != nil {
			return 0, err
		}
	}
	os.Setenv("NEXD_BIN", dir)
	return run(), nil
}

// enterUserNamespace runs this test binary again as the root of a new user, mount
// and network namespace.
func enterUserNamespace() int {
	script := "mount -t tmpfs tmpfs /run && mkdir /run/netns && exec \"$@\""
	cmd := exec.Command("unshare", append([]string{"-Urnm", "sh", "-c", script, "sh", os.Args[0]}, os.Args[1:]...)...)
	cmd.Env = append(os.Environ(), "NEXD_E2E_USERNS=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		if cmd.ProcessState == nil || cmd.ProcessState.ExitCode() == 1 && !namespacesWork() {
			fmt.Println("skipped: no user namespaces here (" + err.Error() + "); run make e2e as root")
			return 0
		}
		return 1
	}
	return 0
}

func namespacesWork() bool { return exec.Command("unshare", "-Urnm", "true").Run() == nil }

// enabled skips unless make e2e asks, and needs the tools named.
func enabled(t *testing.T, tools ...string) {
	t.Helper()
	if os.Getenv("NEXD_E2E") == "" {
		t.Skip("end-to-end tests run by make e2e")
	}
	for _, tool := range append([]string{"ip", "setpriv"}, tools...) {
		if _, err := exec.LookPath(tool); err != nil {
			missing(t, tool+" is not installed")
		}
	}
}

// missing skips the test, or fails it in CI, where every tool can be installed.
func missing(t *testing.T, why string) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatalf("in CI nothing may be missing: %s", why)
	}
	t.Skip(why)
}

// bin is the path of a program: nexd, nexservice, or helper, which is this test
// binary with NEXD_E2E_HELPER set.
func bin(name string) string { return filepath.Join(os.Getenv("NEXD_BIN"), name) }

// inUserNamespace reports whether root is the root of a user namespace, which has no second
// user to switch to.
func inUserNamespace() bool { return os.Getenv("NEXD_E2E_USERNS") != "" }
