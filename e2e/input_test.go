package e2e

import (
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"nexd/internal/eventually"
)

// TestBadInputIsOneClearLine runs nexd with typical user errors. It must print one line on
// standard error that names the value, exit with the right code and register nothing.
func TestBadInputIsOneClearLine(t *testing.T) {
	w := newWorld(t)
	expired := w.keyFile("expired", "--expires=1s")
	once := w.keyFile("once", "--uses=1")
	revoked := w.keyFile("revoked", "--description=to be revoked")
	w.revoke("to be revoked")
	first := w.key
	w.key = once
	w.join("node1", "--proxy-listen=off")
	w.key = first
	eventually.True(t, "the expired key has expired", func() bool {
		return strings.Contains(w.mustService("key", "list", "--org=default"), " expired ")
	})
	wrongPin := w.url[:strings.Index(w.url, "#pin=")] + "#pin=" + strings.Repeat("ab", 32)
	bare := w.url[:strings.Index(w.url, "#")]
	garbage := filepath.Join(w.ownDir("svc"), "garbage.key")
	os.WriteFile(garbage, []byte("hello\n"), 0o644)
	unknown := filepath.Join(w.ownDir("svc"), "unknown.key")
	os.WriteFile(unknown, []byte("nexdkey_"+strings.Repeat("a", 32)+"\n"), 0o644)

	w.start("laptop", "holder", []string{"NEXD_E2E_HELPER=1"}, bin("helper"), "hold", "7777").line("held", 5*time.Second)
	for _, tt := range []struct {
		name string
		args []string
		code int
		want string
	}{
		{"garbage key", []string{"--reg-key-file=" + garbage, w.url}, 1, "registration key"},
		{"unknown key", []string{"--reg-key-file=" + unknown, w.url}, 1, "key"},
		{"expired key", []string{"--reg-key-file=" + expired, w.url}, 1, "expired"},
		{"used-up key", []string{"--reg-key-file=" + once, w.url}, 1, "used"},
		{"revoked key", []string{"--reg-key-file=" + revoked, w.url}, 1, "revoked"},
		{"wrong pin", []string{wrongPin}, 1, "pin"},
		{"no pin, self-signed", []string{bare}, 1, "pin"},
		{"nobody listens", []string{"https://192.0.2.1:9"}, 3, "192.0.2.1:9"},
		{"no such name", []string{"https://no-such-host.invalid:8443"}, 3, "no-such-host.invalid"},
		{"plain HTTP", []string{"http://192.0.2.1:8443"}, 1, "--insecure-http"},
		{"HTML instead of JSON", []string{"--insecure-http", "http://192.0.2.11:80/"}, 1, "192.0.2.11"},
		{"bad prefix", []string{"router", "--advertise-cidr=127.0.0.0/8", "--reg-key-file=" + first, w.url}, 2, "127.0.0.0/8"},
		{"a typo", []string{"statsu"}, 2, "status"},
		{"a port that is taken", []string{"--proxy-listen=127.0.0.1:7777", "--reg-key-file=" + first, w.url}, 1, "127.0.0.1:7777"},
		{"a UDP port that is taken", []string{"--listen-port=7777", "--reg-key-file=" + first, w.url}, 1, "choose another --listen-port"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.name == "HTML instead of JSON" {
				w.start("node1", "html", []string{"NEXD_E2E_HELPER=1"}, bin("helper"), "html-page")
				w.listens("node1", "80")
			}
			if !strings.Contains(strings.Join(tt.args, " "), "--proxy-listen") && tt.code != 2 {
				tt.args = append([]string{"--proxy-listen=off"}, tt.args...)
			}
			state := w.ownDir("state-bad-" + strings.ReplaceAll(tt.name, " ", "-"))
			args := append([]string{bin("nexd")}, tt.args...)
			if tt.code != 2 {
				args = append(args, "--userspace", "--state-dir="+state, "--log-level=error")
			}
			out, code := w.try("laptop", 40*time.Second, args...)
			if code != tt.code || !strings.Contains(out, tt.want) {
				t.Fatalf("exit %d, want %d with %q:\n%s", code, tt.code, tt.want, out)
			}
			lines := strings.Split(strings.TrimSpace(out), "\n")
			if len(lines) > 2 || strings.Contains(out, "goroutine") || strings.Contains(out, "context deadline exceeded") {
				t.Errorf("not one clear line:\n%s", out)
			}
		})
	}
	if out := w.mustService("node", "list"); strings.Contains(out, "laptop") {
		t.Errorf("something was registered:\n%s", out)
	}
}

func (w *world) keyFile(name string, args ...string) string {
	w.t.Helper()
	file := filepath.Join(w.ownDir("svc"), name+".key")
	w.mustService(append([]string{"key", "create", "--org=default", "--reg-key-out=" + file}, args...)...)
	return file
}

// revoke revokes the key with that description.
func (w *world) revoke(description string) {
	w.t.Helper()
	for line := range strings.Lines(w.mustService("key", "list", "--org=default")) {
		if strings.Contains(line, description) {
			w.mustService("key", "revoke", strings.Fields(line)[0], "--org=default")
			return
		}
	}
	w.t.Fatalf("no key described as %q", description)
}

// hold takes a TCP and UDP port of the loopback and of every address.
func hold(port string) error {
	ln, err := net.Listen("tcp", "127.0.0.1:"+port)
	if err != nil {
		return err
	}
	defer ln.Close()
	pc, err := net.ListenPacket("udp", ":"+port)
	if err != nil {
		return err
	}
	defer pc.Close()
	fmt.Println("held")
	end := make(chan os.Signal, 1)
	signal.Notify(end, syscall.SIGTERM)
	<-end
	return nil
}

// TestSecondInstanceAndDamagedState tests the guarantees of the state directory.
func TestSecondInstanceAndDamagedState(t *testing.T) {
	w := newWorld(t)
	laptop := w.join("laptop")
	out, code := w.try("laptop", 10*time.Second, bin("nexd"), "--userspace", "--proxy-listen=off", "--state-dir="+laptop.state, w.url)
	if code != 1 || !strings.Contains(out, "in use") {
		t.Errorf("second instance: exit %d\n%s", code, out)
	}
	info, err := os.Stat(filepath.Join(laptop.state, "identity.json"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("identity mode %v, %v", info.Mode(), err)
	}
	if out, code := laptop.cli(5*time.Second, "down"); code != 0 {
		t.Errorf("down: exit %d\n%s", code, out)
	}
	if code := laptop.exit(2 * time.Second); code != 0 {
		t.Errorf("after down: exit %d", code)
	}
	if _, code := laptop.cli(5*time.Second, "status"); code != 3 {
		t.Errorf("status of a stopped node: exit %d, want 3", code)
	}
	if err := os.WriteFile(filepath.Join(laptop.state, "identity.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	out, code = w.try("laptop", 10*time.Second, bin("nexd"), "--userspace", "--proxy-listen=off", "--state-dir="+laptop.state, w.url)
	if code != 1 || !strings.Contains(out, "damaged") {
		t.Errorf("damaged state: exit %d\n%s", code, out)
	}
}

// TestStateOnAFullDisk starts a node with its state on a full file system.
func TestStateOnAFullDisk(t *testing.T) {
	w := newWorld(t, "mount")
	dir := w.ownDir("full")
	w.sh("mount", "-t", "tmpfs", "-o", "size=16k,mode=0777", "tmpfs", dir)
	t.Cleanup(func() { w.sh("umount", dir) })
	fill, _ := os.Create(filepath.Join(dir, "fill"))
	fill.Write(make([]byte, 1<<20)) // until it is full
	fill.Close()
	out, code := w.try("laptop", 10*time.Second, bin("nexd"), "--userspace", "--proxy-listen=off", "--log-level=error", "--reg-key-file="+w.key, "--state-dir="+filepath.Join(dir, "state"), w.url)
	if code != 1 || !strings.Contains(out, "no space left") {
		t.Errorf("exit %d\n%s", code, out)
	}
	if out := w.mustService("node", "list"); strings.Contains(out, "laptop") {
		t.Errorf("registered although its key could not be kept:\n%s", out)
	}
}
