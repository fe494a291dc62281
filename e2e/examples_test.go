package e2e

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// example runs examples/NAME/run.sh as an ordinary user, on this machine.
func (l *lab) example(name string, env ...string) string {
	l.t.Helper()
	script := filepath.Join(l.dir, "run.sh")
	l.sh("cp", filepath.Join("..", "examples", name, "run.sh"), script)
	args := append([]string{"env", "TMPDIR=" + l.ownDir("tmp"), "BIN=" + filepath.Dir(bin("nexd"))}, env...)
	return l.must("", time.Minute, append(args, "sh", script)...)
}

// TestExampleExpose runs examples/expose.
func TestExampleExpose(t *testing.T) {
	l := newLab(t, "curl", "busybox")
	if out := l.example("expose"); !strings.Contains(out, "hello from the laptop's loopback") {
		t.Errorf("the page did not come:\n%s", out)
	}
}

// TestExampleContainers runs examples/containers against the Docker Engine.
func TestExampleContainers(t *testing.T) {
	l := newLab(t, "curl", "docker", "busybox")
	if inUserNamespace() || exec.Command("docker", "info").Run() != nil {
		missing(t, "no Docker Engine answers")
	}
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		t.Fatal(err)
	}
	tag := l.prefix + "example:e2e"
	l.importImage(tag, map[string]string{"bin/busybox": busybox, "bin/sh": busybox})
	// As root, who may use Docker here; TestDockerEngine has the agents without rights.
	script := filepath.Join(l.dir, "containers.sh")
	l.sh("cp", filepath.Join("..", "examples", "containers", "run.sh"), script)
	out := l.sh("env", "BIN="+filepath.Dir(bin("nexd")), "IMAGE="+tag,
		`SERVE=/bin/busybox mkdir -p /www && echo "hello from $NAME" > /www/index.html && exec /bin/busybox httpd -f -p 80 -h /www`, "sh", script)
	for _, want := range []string{"hello from web1", "hello from web2"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
}
