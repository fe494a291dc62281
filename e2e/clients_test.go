package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// python is the system's own, which has python3-socks.
const python = "/usr/bin/python3"

// askUDPEcho sends a datagram with whatever socket class stands before it.
const askUDPEcho = `
s.settimeout(10)
s.sendto(b"over udp", ("172.24.0.10", 7))
print(s.recvfrom(2000)[0].decode())
`

// clientsWorld has a router, a laptop with an open and a laptop with a guarded
// proxy, and forwards to what runs in c1.
func clientsWorld(t *testing.T, tools ...string) (*world, *node) {
	t.Helper()
	w := newWorld(t, tools...)
	w.router("node1", "172.24.0.0/24", "fd00:24::/64")
	laptop := w.join("laptop", "-L", "5201:172.24.0.10:5201", "-L", "5201:172.24.0.10:5201/udp", "-L", "6379:172.24.0.10:6379", "-L", "8730:172.24.0.10:8730")
	laptop.mustFetch("http://172.24.0.10/")
	return w, laptop
}

// asFile writes a file that the nodes' user may read.
func (w *world) asFile(dir, name, text string) string {
	w.t.Helper()
	path := filepath.Join(w.ownDir(dir), name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		w.t.Fatal(err)
	}
	return path
}

// TestCurlEveryWay fetches over each protocol, both families and names, with and
// without a password.
func TestCurlEveryWay(t *testing.T) {
	w, laptop := clientsWorld(t)
	users := w.asFile("users", "users", "ada:open sesame\n")
	guarded := w.join("node2", "--proxy-listen=127.0.0.1:1081", "--proxy-auth-file="+users, "--proxy-listen=unix:"+filepath.Join(w.ownDir("proxy"), "s"))
	for _, tt := range []struct{ scheme, url string }{
		{"socks4", "http://172.24.0.10/"}, {"socks4a", "http://172.24.0.10/"}, {"socks5", "http://172.24.0.10/"}, {"socks5h", "http://172.24.0.10/"},
		{"http", "http://172.24.0.10/"}, {"socks5", "http://[fd00:24::10]/"}, {"socks5h", "http://[fd00:24::10]/"}, {"http", "http://[fd00:24::10]/"},
	} {
		t.Run(tt.scheme+" "+tt.url, func(t *testing.T) {
			if out, code := laptop.curl(20*time.Second, "-x", tt.scheme+"://"+laptop.proxy, tt.url); code != 0 || !strings.Contains(out, marker) {
				t.Errorf("curl exit %d\n%s", code, out)
			}
			auth := tt.scheme + "://ada:open%20sesame@127.0.0.1:1081"
			out, code := guarded.curl(20*time.Second, "-x", auth, tt.url)
			if four := strings.HasPrefix(tt.scheme, "socks4"); four == (code == 0) || !four && !strings.Contains(out, marker) {
				t.Errorf("with a password: curl exit %d\n%s", code, out)
			}
			out, code = guarded.curl(20*time.Second, "-f", "-x", strings.Replace(auth, "open", "shut", 1), tt.url)
			if code == 0 {
				t.Errorf("with a wrong password: %s", out)
			}
		})
	}
	if out, code := laptop.curl(10*time.Second, "http://"+laptop.proxy+"/proxy.pac"); code != 0 || !strings.Contains(out, "FindProxyForURL") || !strings.Contains(out, "node1") {
		t.Errorf("proxy.pac: curl exit %d\n%s", code, out)
	}
}

// TestStockClients drives programs that know nothing of the mesh.
func TestStockClients(t *testing.T) {
	w, laptop := clientsWorld(t, "git", "rsync", "proxychains4", "socksify", "iperf3", "redis-server", "redis-benchmark", python)
	dir := w.ownDir("c1-files")
	w.asFile("c1-files", "page", "a file of c1\n")
	rsyncd := w.asFile("conf", "rsyncd.conf", "use chroot = no\nport = 8730\n[files]\npath = "+dir+"\n")
	w.start("c1", "rsyncd", nil, "rsync", "--daemon", "--no-detach", "--config="+rsyncd)
	w.start("c1", "iperf3", nil, "iperf3", "-s")
	w.start("c1", "redis", nil, "redis-server", "--port", "6379", "--protected-mode", "no", "--save", "", "--dir", dir)
	repo := filepath.Join(w.ownDir("git"), "r.git")
	w.must("", 20*time.Second, "env", "HOME="+dir, "git", "init", "-q", "--bare", repo)
	w.start("c1", "git daemon", nil, "env", "HOME="+dir, "git", "daemon", "--export-all", "--base-path="+filepath.Dir(repo))
	chains := w.asFile("conf", "proxychains.conf", "strict_chain\n[ProxyList]\nsocks5 "+strings.Replace(laptop.proxy, ":", " ", 1)+"\n")
	socks := w.asFile("conf", "socks.conf", "route {\n from: 0.0.0.0/0 to: 0.0.0.0/0 via: "+strings.Replace(laptop.proxy, ":", " port = ", 1)+
		"\n proxyprotocol: socks_v5\n command: connect udpassociate\n protocol: tcp udp\n method: none\n}\n")
	socksify := []string{"env", "SOCKS_CONF=" + socks, "socksify"}
	udp := "import socket\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)" + askUDPEcho
	host, port, _ := strings.Cut(laptop.proxy, ":")
	pysocks := fmt.Sprintf("import socks\ns = socks.socksocket(type=socks.socket.SOCK_DGRAM)\ns.set_proxy(socks.SOCKS5, %q, %s)", host, port) + askUDPEcho
	nc := "sh -c 'printf x | NEXD_STATE_DIR=" + laptop.state + " " + bin("nexd") + " nc 172.24.0.10 9'"
	for _, tt := range []struct {
		name string
		want string
		args []string
	}{
		{"nexd nc", "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881", []string{"sh", "-c", nc}},
		{"rsync over -L", "page", []string{"rsync", "--port=8730", "rsync://127.0.0.1/files/"}},
		{"git over proxychains4", "", []string{"env", "HOME=" + dir, "proxychains4", "-q", "-f", chains, "git", "ls-remote", "git://172.24.0.10/r.git"}},
		{"curl over proxychains4", marker, []string{"proxychains4", "-q", "-f", chains, "curl", "-sS", "http://172.24.0.10/"}},
		{"socksify TCP", marker, append(socksify, "curl", "-sS", "http://172.24.0.10/")},
		{"socksify UDP", "over udp", append(socksify, python, "-c", udp)},
		{"PySocks UDP", "over udp", []string{python, "-c", pysocks}},
		{"iperf3 over -L", "receiver", []string{"iperf3", "-c", "127.0.0.1", "-t", "1"}},
		{"iperf3 -R over -L", "receiver", []string{"iperf3", "-c", "127.0.0.1", "-t", "1", "-R"}},
		{"iperf3 UDP over -L", "receiver", []string{"iperf3", "-c", "127.0.0.1", "-t", "1", "-u", "-b", "5M", "-l", "1200"}},
		{"redis-benchmark over -L", "requests per second", []string{"redis-benchmark", "-p", "6379", "-n", "500", "-c", "10", "-t", "set,get", "-q"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			out, code := w.try("laptop", 40*time.Second, tt.args...)
			if code != 0 || !strings.Contains(out, tt.want) {
				t.Errorf("exit %d, want %q in\n%s", code, tt.want, out)
			}
		})
	}
}
