package e2e

import (
	"path/filepath"
	"testing"
)

// postgresClients run pgbench against a PostgreSQL server in c1, through a forward from a
// port and one from a Unix socket.
func postgresClients(t *testing.T, w *world, laptop *node) []stockClient {
	t.Helper()
	if inUserNamespace() {
		missing(t, "PostgreSQL does not run as root of a user namespace")
	}
	programs, data := postgresBin(t), filepath.Join(w.ownDir("pg"), "data")
	w.must("", 2*testLimit, filepath.Join(programs, "initdb"), "-D", data, "-U", "ada", "--auth=trust", "--no-sync", "--no-locale", "-E", "UTF8")
	hba := w.asFile("pg", "hba", "host all all all trust\n")
	w.start("c1", "postgres", nil, filepath.Join(programs, "postgres"), "-D", data, "-c", "hba_file="+hba, "-c", "listen_addresses=*",
		"-c", "unix_socket_directories=", "-c", "fsync=off", "-c", "shared_buffers=16MB")
	w.listens("c1", "5432")
	sockets := w.ownDir("pg-sockets")
	if out, code := laptop.cli(testLimit, "forward", "add", "-L", filepath.Join(sockets, ".s.PGSQL.5432")+":172.24.0.10:5432"); code != 0 {
		t.Fatalf("forward add: exit %d\n%s", code, out)
	}
	bench := []string{"env", "PGUSER=ada", "PGDATABASE=postgres", filepath.Join(programs, "pgbench")}
	return []stockClient{
		{"pgbench -i over -L", "", append(bench, "-q", "-i", "-h", "127.0.0.1")},
		{"pgbench over -L", "tps = ", append(bench, "-n", "-c", "8", "-T", "2", "-h", "127.0.0.1")},
		{"pgbench over a Unix socket", "tps = ", append(bench, "-n", "-S", "-c", "4", "-T", "1", "-h", sockets)},
	}
}
