//go:build linux

package nstest_test

import (
	"fmt"
	"net"
	"os"
	"testing"
	"time"

	"nexd/internal/nstest"
)

func TestMain(m *testing.M) {
	nstest.Main(m, func() {
		os.WriteFile(os.Args[1], []byte("here"), 0o600)
		fmt.Println("up", error(nil))
		time.Sleep(time.Hour) // until the test ends it
		os.WriteFile(os.Args[1], []byte("survived"), 0o600)
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
	kill()
	if b, err := os.ReadFile(file); string(b) != "here" {
		t.Errorf("the victim has left %q, %v", b, err)
	}
	kill() // once more does no harm
}
