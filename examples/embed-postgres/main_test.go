//go:build unix

package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"nexd/e2e/meshtest"
	"nexd/internal/eventually"
	"nexd/internal/leak"
)

// TestDatabaseBehindANode runs the example beside a router node, behind which a PostgreSQL
// server of the test's own listens.
func TestDatabaseBehindANode(t *testing.T) {
	leak.Check(t)
	database := servePostgres(t)
	s := meshtest.New(t)
	s.Start()
	meshtest.Run(t, meshtest.Behind(t, s.Config("router"), "10.99.0.1", database))
	var out strings.Builder
	dsn := fmt.Sprintf("postgres://ada@10.99.0.1:%d/postgres?sslmode=disable", database.(*net.TCPAddr).Port)
	if err := run(t.Context(), s.Config("reporter"), dsn, &out); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(out.String(), "connected to postgres as ada: PostgreSQL ") {
		t.Errorf("%q", &out)
	}
}

// servePostgres starts a PostgreSQL server on a port of the loopback until the test ends.
func servePostgres(t *testing.T) net.Addr {
	t.Helper()
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	if len(found) == 0 {
		t.Skip("PostgreSQL is not installed: no /usr/lib/postgresql/*/bin (Debian: apt-get install postgresql)")
	}
	bin := found[len(found)-1]
	dir, err := os.MkdirTemp("", "nexd-pg") // not below t.TempDir, which other users cannot enter
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	as := unprivileged(t, dir)
	data := filepath.Join(dir, "data")
	initdb := exec.Command(filepath.Join(bin, "initdb"), "-D", data, "-U", "ada", "--auth=trust", "--no-sync", "--no-locale", "-E", "UTF8")
	initdb.SysProcAttr, initdb.Dir = as, dir
	if b, err := initdb.CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v\n%s", err, b)
	}
	ln, err := net.Listen("tcp4", "127.0.0.1:0") // a free port
	if err != nil {
		t.Fatal(err)
	}
	at := ln.Addr()
	ln.Close()
	server := exec.Command(filepath.Join(bin, "postgres"), "-D", data, "-p", strconv.Itoa(at.(*net.TCPAddr).Port), "-c", "listen_addresses=127.0.0.1",
		"-c", "unix_socket_directories=", "-c", "fsync=off", "-c", "shared_buffers=16MB")
	server.SysProcAttr, server.Dir = as, dir
	var log strings.Builder
	server.Stdout, server.Stderr = &log, &log
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		server.Process.Signal(syscall.SIGINT) // fast shutdown
		server.Wait()
		if t.Failed() {
			t.Log(log.String())
		}
	})
	eventually.True(t, "PostgreSQL listens", func() bool {
		c, err := net.Dial("tcp4", at.String())
		if err != nil {
			return false
		}
		return c.Close() == nil
	})
	return at
}

// unprivileged is how to start a program as another user, whose dir becomes, if this is
// root: PostgreSQL refuses to run as root.
func unprivileged(t *testing.T, dir string) *syscall.SysProcAttr {
	t.Helper()
	if os.Geteuid() != 0 {
		return nil
	}
	u, err := user.Lookup("nobody")
	if err != nil {
		t.Skip("PostgreSQL does not run as root, and there is no other user: ", err)
	}
	uid, _ := strconv.Atoi(u.Uid)
	gid, _ := strconv.Atoi(u.Gid)
	if err := os.Chown(dir, uid, gid); err != nil {
		t.Skip("PostgreSQL does not run as root of a user namespace: ", err)
	}
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
}
