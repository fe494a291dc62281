package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"nexd/control"
	"nexd/internal/eventually"
	"nexd/mesh"
)

// TestMain lets the test binary be nexservice itself, so that it can be started
// where the test process cannot go.
func TestMain(m *testing.M) {
	if os.Getenv("BE_NEXSERVICE") != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// onDisk starts a service whose database lies on a small disk of its own, in a
// mount namespace. What is written to steer is run by a shell in it.
func onDisk(t *testing.T) (url, key string, steer func(string), logOf func() string) {
	t.Helper()
	if out, err := exec.Command("unshare", "-rm", "true").CombinedOutput(); err != nil {
		t.Skipf("no mount namespaces here: %v %s", err, out)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	script := fmt.Sprintf(`set -e
mount -t tmpfs -o size=1m tmpfs %[1]s/disk
echo correct horse | %[2]s bootstrap --db=%[1]s/disk/n.db --user=ada@example.com --password-file=- --reg-key-out=%[1]s/key >/dev/null
%[2]s serve --db=%[1]s/disk/n.db --listen=127.0.0.1:0 >%[1]s/ready 2>%[1]s/log &
service=$!
set +e
while read -r line; do eval "$line"; echo "done $?" >>%[1]s/did; done
kill $service
wait $service`, dir, self)
	if err := os.Mkdir(filepath.Join(dir, "disk"), 0o700); err != nil {
		t.Fatal(err)
	}
	sh := exec.Command("unshare", "-rm", "sh", "-c", script)
	sh.Env = append(os.Environ(), "BE_NEXSERVICE=1")
	sh.Stderr = os.Stderr
	in, err := sh.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := sh.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		if err := sh.Wait(); err != nil {
			t.Errorf("service: %v\n%s", err, readFile(t, filepath.Join(dir, "log")))
		}
	})
	ready := readLines(t, filepath.Join(dir, "ready"), 1)
	did := 0
	steer = func(line string) {
		t.Helper()
		did++
		fmt.Fprintln(in, strings.ReplaceAll(line, "DISK", dir+"/disk"))
		readLines(t, filepath.Join(dir, "did"), did)
	}
	return strings.Fields(ready)[1], readFile(t, filepath.Join(dir, "key")), steer, func() string { return readFile(t, filepath.Join(dir, "log")) }
}

// readLines reads a file as soon as it has so many lines.
func readLines(t *testing.T, path string, lines int) string {
	t.Helper()
	var b []byte
	eventually.True(t, path+" is there", func() bool {
		b, _ = os.ReadFile(path)
		return strings.Count(string(b), "\n") >= lines
	})
	return string(b)
}

func TestDiskFull(t *testing.T) {
	url, key, steer, logOf := onDisk(t)
	c, regKey := joiner(t, url, key)
	if _, err := c.Register(t.Context(), control.Registration{RegKey: regKey.Secret(), Hostname: "node1"}); err != nil {
		t.Fatal(err)
	}
	steer("head -c 2m /dev/zero >DISK/fill 2>/dev/null")
	refused := 0
	for i := 0; i < 60 && refused < 3; i++ { // room that the database's log still has is used up first
		n, _ := joiner(t, url, key)
		_, err := n.Register(t.Context(), control.Registration{RegKey: regKey.Secret(), Hostname: fmt.Sprint("n", i)})
		if err == nil {
			continue
		}
		refused++
		if mesh.KindOf(err) != mesh.Unavailable || !strings.Contains(err.Error(), "database") || strings.Contains(err.Error(), "n.db") {
			t.Errorf("%v error %v", mesh.KindOf(err), err)
		}
	}
	if refused == 0 {
		t.Error("a full disk refuses nothing")
	}
	if log := logOf(); !strings.Contains(log, "the disk is full") || strings.Count(log, "level=WARN") > 1 {
		t.Errorf("log:\n%s", log)
	}
	steer("rm DISK/fill")
	n, _ := joiner(t, url, key)
	if _, err := n.Register(t.Context(), control.Registration{RegKey: regKey.Secret(), Hostname: "after"}); err != nil {
		t.Errorf("with room again: %v\n%s", err, logOf())
	}
}
