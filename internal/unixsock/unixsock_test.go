package unixsock_test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"nexd/internal/leak"
	"nexd/internal/unixsock"
	"nexd/mesh"
)

func Example() {
	dir, _ := os.MkdirTemp("", "u")
	defer os.RemoveAll(dir)
	ln, err := unixsock.Listen(filepath.Join(dir, "s"))
	if err != nil {
		fmt.Println(err)
		return
	}
	_, again := unixsock.Listen(filepath.Join(dir, "s"))
	fmt.Println(mesh.KindOf(again))
	ln.Close()
	left, _ := os.ReadDir(dir)
	fmt.Println(len(left), "files are left")
	// Output:
	// conflict
	// 0 files are left
}

func TestListen(t *testing.T) {
	leak.Check(t)
	dir, err := os.MkdirTemp("", "u")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "s")
	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
	if err != nil {
		t.Fatal(err)
	}
	stale.SetUnlinkOnClose(false)
	stale.Close()
	ln, err := unixsock.Listen(path)
	if err != nil {
		t.Fatalf("over a stale socket: %v", err)
	}
	if info, err := os.Stat(path); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if ln.Addr().String() != path {
		t.Errorf("Addr = %v", ln.Addr())
	}
	go func() {
		if c, err := ln.Accept(); err == nil {
			c.Close()
		}
	}()
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	ln.Close()
	if err := os.WriteFile(path, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := unixsock.Listen(path); mesh.KindOf(err) != mesh.Conflict {
		t.Errorf("over a file: %v", err)
	}
	if _, err := unixsock.Listen(filepath.Join(dir, strings.Repeat("x", 120))); mesh.KindOf(err) != mesh.Invalid {
		t.Errorf("too long a path: %v", err)
	}
	if _, err := unixsock.Listen(filepath.Join(dir, "none", "s")); mesh.KindOf(err) != mesh.Unavailable {
		t.Errorf("no such directory: %v", err)
	}
}
