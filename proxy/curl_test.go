package proxy

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"nexd/internal/leak"
)

const curlSize = 200 << 20

// curl runs curl.
func curl(t *testing.T, args ...string) (string, error) {
	t.Helper()
	path, err := exec.LookPath("curl")
	if err != nil {
		t.Skip("curl is not installed")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, append([]string{"-q", "-sS", "--noproxy", ""}, args...)...)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("%w: %s", err, strings.TrimSpace(errs.String()))
	}
	return string(out), err
}

// shop serves SIZE random bytes at /SIZE, and the hash of a PUT body.
func shop(w http.ResponseWriter, r *http.Request) {
	switch r.Method {
	case http.MethodPut, http.MethodPost:
		h := sha256.New()
		io.Copy(h, r.Body)
		io.WriteString(w, hex.EncodeToString(h.Sum(nil)))
	default:
		size, _ := strconv.ParseInt(strings.TrimPrefix(r.URL.Path, "/"), 10, 64)
		w.Header().Set("Content-Length", fmt.Sprint(size))
		io.Copy(w, goods(size))
	}
}

func goods(size int64) io.Reader { return io.LimitReader(rand.NewChaCha8([32]byte{7}), size) }

func hashOf(r io.Reader) string {
	h := sha256.New()
	io.Copy(h, r)
	return hex.EncodeToString(h.Sum(nil))
}

// The options by which curl uses the proxy at %s.
var curlWays = []struct{ name, args string }{
	{"socks5", "--socks5 %s"},
	{"socks5-hostname", "--socks5-hostname %s"},
	{"http CONNECT", "-p -x http://%s"},
	{"http plain", "-x http://%s"},
}

func (r *running) curlArgs(args string) []string { return strings.Fields(fmt.Sprintf(args, r.addr)) }

func TestCurlTransfers(t *testing.T) {
	if testing.Short() {
		t.Skip("short")
	}
	leak.Check(t)
	m := newMesh()
	site := m.website(t, "node1.nexd.internal", shop)
	m.hosts["127.0.0.1:8080"] = site.Listener.Addr().String()
	m.hosts["[::1]:8080"] = site.Listener.Addr().String()
	p := run(t, m, nil)
	want := hashOf(goods(curlSize))
	file := filepath.Join(t.TempDir(), "goods")
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	io.Copy(f, goods(curlSize))
	f.Close()
	for _, way := range curlWays {
		host := "node1.nexd.internal"
		if way.name == "socks5" {
			host = "127.0.0.1:8080" // curl resolves by itself here
		}
		t.Run(way.name+" down", func(t *testing.T) {
			got := filepath.Join(t.TempDir(), "got")
			if _, err := curl(t, append(p.curlArgs(way.args), "-o", got, fmt.Sprintf("http://%s/%d", host, curlSize))...); err != nil {
				t.Fatal(err)
			}
			f, err := os.Open(got)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if hash := hashOf(f); hash != want {
				t.Errorf("the bytes differ")
			}
		})
		t.Run(way.name+" up", func(t *testing.T) {
			hash, err := curl(t, append(p.curlArgs(way.args), "-T", file, fmt.Sprintf("http://%s/", host))...)
			if err != nil || hash != want {
				t.Errorf("hash %s, %v; want %s", hash, err, want)
			}
		})
		t.Run(way.name+" IPv6 literal", func(t *testing.T) {
			if _, err := curl(t, append(p.curlArgs(way.args), "-o", os.DevNull, "-g", "http://[::1]:8080/1000")...); err != nil {
				t.Error(err)
			}
			if got := m.lastDialed(); got != "[::1]:8080" {
				t.Errorf("Dial got %q", got)
			}
		})
	}
}

// The exit codes and messages of curl when the target cannot be reached.
func TestCurlFailures(t *testing.T) {
	leak.Check(t)
	m := newMesh()
	for _, f := range failures {
		m.errors[f.name+":80"] = f.err
	}
	p := run(t, m, nil)
	for _, f := range failures[:4] {
		out, err := curl(t, "--socks5-hostname", p.addr, "http://"+f.name+"/")
		if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("(%d)", f.reply)) && !strings.Contains(err.Error(), "exit status 97") {
			t.Errorf("%s over SOCKS5: %q, %v", f.name, out, err)
		}
		out, err = curl(t, "-x", "http://"+p.addr, "-w", "%{http_code}", "http://"+f.name+"/")
		if err != nil || !strings.HasSuffix(out, fmt.Sprint(f.status)) || !strings.Contains(out, "Cannot reach "+f.name) {
			t.Errorf("%s over HTTP: %q, %v", f.name, out, err)
		}
		out, err = curl(t, "-p", "-x", "http://"+p.addr, "-w", "%{http_connect}", "http://"+f.name+"/")
		if err == nil || !strings.HasSuffix(out, fmt.Sprint(f.status)) {
			t.Errorf("%s over CONNECT: %q, %v", f.name, out, err)
		}
	}
	out, err := curl(t, "-x", "socks4a://"+p.addr, "http://"+failures[0].name+"/")
	if err == nil || !strings.Contains(err.Error(), "91") { // 0x5b
		t.Errorf("SOCKS4: %q, %v", out, err)
	}
}
