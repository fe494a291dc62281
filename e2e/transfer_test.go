package e2e

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const bulk = 200 << 20

// TestBulkTransfers transfers 200 MB through every entry, up and down, and compares hashes.
func TestBulkTransfers(t *testing.T) {
	w := newWorld(t)
	w.router("node1", "172.24.0.0/24")
	laptop := w.join("laptop", "-L", "8080:172.24.0.10:80")
	upload := filepath.Join(w.ownDir("bulk"), "up")
	writePattern(t, upload, bulk)
	want := patternSum(bulk)
	direct := "http://172.24.0.10"
	for _, way := range []struct {
		name string
		base string
		args []string
	}{
		{"socks5", direct, []string{"--socks5", laptop.proxy}},
		{"socks5-hostname", direct, []string{"--socks5-hostname", laptop.proxy}},
		{"http", direct, []string{"-x", "http://" + laptop.proxy}},
		{"connect", direct, []string{"-p", "-x", "http://" + laptop.proxy}},
		{"forward", "http://127.0.0.1:8080", nil},
	} {
		t.Run(way.name, func(t *testing.T) {
			file := filepath.Join(w.ownDir("bulk"), "down-"+way.name)
			out, code := laptop.curl(2*time.Minute, append(way.args, "-o", file, "-w", "%{speed_download}", fmt.Sprintf("%s/bytes?n=%d", way.base, bulk))...)
			if code != 0 || fileSum(t, file) != want {
				t.Fatalf("down: curl exit %d, hash %s, want %s\n%s", code, fileSum(t, file), want, out)
			}
			down := out
			out, code = laptop.curl(2*time.Minute, append(way.args, "-H", "Expect:", "-T", upload, "-w", "%{speed_upload}", way.base+"/sum")...)
			if code != 0 || !strings.Contains(out, fmt.Sprintf("%s %d", want, bulk)) {
				t.Fatalf("up: curl exit %d, %s, want hash %s", code, out, want)
			}
			_, up, _ := strings.Cut(out, "\n")
			t.Logf("%s: down %s up %s bytes/s", way.name, down, up)
			os.Remove(file)
		})
	}
}

func writePattern(t *testing.T, path string, n int64) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := io.Copy(f, pattern(n)); err != nil {
		t.Fatal(err)
	}
	if err := f.Chmod(0o644); err != nil {
		t.Fatal(err)
	}
}

func fileSum(t *testing.T, path string) string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		return err.Error()
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(h.Sum(nil))
}
