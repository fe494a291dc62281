//go:build linux

package nstest_test

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"syscall"
	"testing"

	"nexd/internal/nstest"
)

func TestMain(m *testing.M) {
	nstest.Main(m, func() {
		fmt.Println("up", os.WriteFile(os.Args[1], []byte(strconv.Itoa(os.Getpid())), 0o600))
	})
}

func TestTheNamespaceIsEmpty(t *testing.T) {
	nstest.Inside(t)
	all, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range all {
		if i.Flags&net.FlagUp != 0 {
			t.Errorf("%s is up: this is no namespace of the test's own", i.Name)
		}
	}
}

func TestVictimIsUpAndThenGone(t *testing.T) {
	nstest.Inside(t)
	file := t.TempDir() + "/mark"
	kill := nstest.Victim(t, file)
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(string(b))
	if err != nil || syscall.Kill(pid, 0) != nil {
		t.Fatalf("the victim has left %q, %v; signal 0: %v", b, err, syscall.Kill(pid, 0))
	}
	kill()
	if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("the victim lives on: %v", err)
	}
	kill() // once more does no harm
}
