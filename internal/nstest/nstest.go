//go:build linux

// Package nstest runs the tests of a package in a network namespace of their own, and
// kills processes while they change that namespace. It is for tests only.
package nstest

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"
)

// role is the variable that tells the test binary its role.
const role = "NEXD_NSTEST"

// Main is for TestMain: it runs the tests again in a namespace of their own. It needs no
// root where users may create namespaces. Where it cannot create one, the tests run
// outside; see Inside. Victim starts victim, which prints its result and returns; its
// process lives on until it is killed.
func Main(m *testing.M, victim func()) {
	switch os.Getenv(role) {
	case "inside":
		os.Exit(m.Run())
	case "victim":
		victim()
		time.Sleep(time.Hour) // until the test kills it
		os.Exit(1)
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
	if cmd.ProcessState == nil { // no namespace: the tests skip
		fmt.Fprintln(os.Stderr, "no network namespace:", err)
		os.Exit(m.Run())
	}
	os.Exit(cmd.ProcessState.ExitCode())
}

// Inside skips the test outside the namespace of Main.
func Inside(t *testing.T) {
	t.Helper()
	if os.Getenv(role) == "" {
		t.Skip("no network namespace can be made here")
	}
}

// Victim starts the victim in the namespace, waits until it has printed "up <nil>", and
// returns a function that kills it with SIGKILL.
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
