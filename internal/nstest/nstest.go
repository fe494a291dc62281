//go:build linux

// Package nstest runs the tests of a package in a network namespace made for them,
// and has processes killed that were about to change it. It is for tests only.
package nstest

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"
)

// role tells the test binary what it was started as.
const role = "NEXD_NSTEST"

// Main is for TestMain: it runs the tests again in a namespace of their own. Root
// is not needed where users may make namespaces; where none can be made the tests
// run outside, see Inside. victim is what Victim starts.
func Main(m *testing.M, victim func()) {
	switch os.Getenv(role) {
	case "inside":
		os.Exit(m.Run())
	case "victim":
		victim()
	}
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), role+"=inside")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	if os.Geteuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
	}
	err := cmd.Run()
	if cmd.ProcessState == nil { // no namespace here: the tests skip
		fmt.Fprintln(os.Stderr, "no network namespace:", err)
		os.Exit(m.Run())
	}
	os.Exit(cmd.ProcessState.ExitCode())
}

// Inside skips the test unless it is in the namespace of Main.
func Inside(t *testing.T) {
	t.Helper()
	if os.Getenv(role) == "" {
		t.Skip("no network namespace can be made here")
	}
}

// Victim starts the victim in the namespace, waits until it has printed
// "up <nil>", and returns what kills it without warning.
func Victim(t *testing.T, args ...string) (kill func()) {
	t.Helper()
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Env = append(os.Environ(), role+"=victim")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	kill = func() {
		cmd.Process.Kill()
		cmd.Wait()
	}
	line, _ := bufio.NewReader(out).ReadString('\n')
	if line != "up <nil>\n" {
		kill()
		t.Fatalf("victim says %q", line)
	}
	return kill
}
