package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"nexd/internal/eventually"
)

// stockClient is a program without knowledge of the mesh, its command line, and its output
// after it has reached its server.
type stockClient struct {
	name, want string
	args       []string
}

// startAsRoot runs a server that only root can run, until the test ends.
func (l *lab) startAsRoot(ns, name string, args ...string) *proc {
	l.t.Helper()
	p := l.prepare(ns, name, nil, args...)
	full := l.inside(ns, args)
	path, err := exec.LookPath(full[0])
	if err != nil {
		l.t.Fatal(err)
	}
	p.cmd.Path, p.cmd.Args = path, full
	return l.launch(p)
}

// listens waits until something listens on a TCP port of a namespace.
func (l *lab) listens(ns, port string) {
	l.t.Helper()
	eventually.Within(l.t, 20*time.Second, "somebody listens on "+ns+":"+port, func() bool {
		return l.in(ns, "ss", "-Hltn", "sport = :"+port) != ""
	})
}

// asProgram writes a shell script that the nodes' user can run.
func (w *world) asProgram(dir, name, text string) string {
	w.t.Helper()
	path := w.asFile(dir, name, "#!/bin/sh\n"+text+"\n")
	if err := os.Chmod(path, 0o755); err != nil {
		w.t.Fatal(err)
	}
	return path
}

// run runs each client on the laptop as a subtest.
func (w *world) run(t *testing.T, clients []stockClient) {
	t.Helper()
	for _, c := range clients {
		t.Run(c.name, func(t *testing.T) { w.says(t, c) })
	}
}

// addressOf returns the IPv4 mesh address of a peer.
func (n *node) addressOf(peer string) string {
	n.w.t.Helper()
	for _, p := range n.status().Peers {
		if p.Name == peer && len(p.Addresses) > 0 {
			return p.Addresses[0].String()
		}
	}
	n.w.t.Fatalf("%s knows no peer %s", n.ns, peer)
	return ""
}

// postgresBin returns Debian's directory of the newest PostgreSQL.
func postgresBin(t *testing.T) string {
	t.Helper()
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	if len(found) == 0 {
		missing(t, "postgresql is not installed")
	}
	return found[len(found)-1]
}
