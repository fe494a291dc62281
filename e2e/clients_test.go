package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// python is the system's Python, which has python3-socks.
const python = "/usr/bin/python3"

// askUDPEcho sends a datagram with the socket class that precedes it.
const askUDPEcho = `
s.settimeout(10)
s.sendto(b"over udp", ("172.24.0.10", 7))
print(s.recvfrom(2000)[0].decode())
`

// askTCPEcho does the same with a stream, whose reply may come in two parts.
const askTCPEcho = `
s.settimeout(10)
s.connect(("172.24.0.10", 7))
s.sendall(b"over tcp")
got = b""
while len(got) < 8:
    got += s.recv(100)
print(got.decode())
`

// testLimit is the limit of short steps.
const testLimit = 60 * time.Second

// asFile writes a file that the nodes' user can read.
func (w *world) asFile(dir, name, text string) string {
	w.t.Helper()
	path := filepath.Join(w.ownDir(dir), name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		w.t.Fatal(err)
	}
	return path
}

// TestApplications runs programs without knowledge of the mesh, in one world. Meanwhile a
// WebSocket to a node without other traffic is idle, for longer than the lifetime of
// WireGuard's keys.
func TestApplications(t *testing.T) {
	t.Parallel() // for two minutes most of it waits
	w := newWorld(t, "git", "rsync", "proxychains4", "socksify", "iperf3", "redis-server", "redis-benchmark", "ssh", "scp", "/usr/sbin/sshd", "dig", "chromium", "ss", python)
	postgresBin(t)
	w.join("node1", "router", "--proxy-listen=off", "--advertise-cidr=172.24.0.0/24", "--advertise-cidr=fd00:24::/64", "-R", "8088:172.24.0.10:80", "-R", "10:172.24.0.10:10")
	users := w.asFile("users", "users", "ada:open sesame\n")
	guarded := w.join("node2", "router", "--advertise-cidr=172.28.0.0/24", "--proxy-listen=127.0.0.1:1081", "--proxy-auth-file="+users, "--proxy-listen=unix:"+filepath.Join(w.ownDir("proxy"), "s"), "--proxy-outside=direct")
	forwards := []string{"5201:172.24.0.10:5201", "5201:172.24.0.10:5201/udp", "6379:172.24.0.10:6379", "8730:172.24.0.10:8730",
		"5432:172.24.0.10:5432", "8028:172.28.0.10:80", "9010:172.24.0.10:10", "7007:172.24.0.10:7/udp"}
	config := w.asFile("config", "nexd.yaml", configWith(forwards))
	laptop := w.join("laptop", "--config="+config)
	laptop.mustFetch("http://172.24.0.10/")
	idle := w.start("laptop", "idle WebSockets", []string{"NEXD_E2E_HELPER=1"}, bin("helper"), "websockets", laptop.proxy, "172.28.0.10:80", "130s", "socks5", "connect", "127.0.0.1:8028")
	idle.line("open", 20*time.Second)
	clients := func(of func(*testing.T, *world, *node) []stockClient) func(*testing.T) {
		return func(t *testing.T) { w.run(t, of(t, w, laptop)) }
	}
	t.Run("curl", func(t *testing.T) { curlEveryWay(t, w, laptop, guarded) })
	t.Run("plain", clients(plainClients))
	t.Run("ssh", clients(sshClients))
	t.Run("git", clients(gitClients))
	t.Run("postgres", clients(postgresClients))
	t.Run("SIGHUP", func(t *testing.T) { reloadConfig(t, w, laptop, config, forwards) })
	t.Run("chromium", clients(chromiumClients))
	t.Run("half-close", func(t *testing.T) { halfCloseEveryWay(t, w, laptop) })
	t.Run("rude", func(t *testing.T) { rudeClients(t, w, laptop) })
	t.Run("idle WebSockets", func(t *testing.T) {
		if code := idle.exit(150 * time.Second); code != 0 || !strings.Contains(idle.log(), "alive 3") {
			t.Errorf("after 130 s of silence: exit %d\n%s", code, idle.log())
		}
	})
}

// curlEveryWay fetches with each protocol, both families and names, with and without a
// password.
func curlEveryWay(t *testing.T, w *world, laptop, guarded *node) {
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
	socket := filepath.Join(w.dir, "proxy", "s")
	if info, err := os.Stat(socket); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the proxy's Unix socket: %v, %v", info, err)
	}
	if out, code := guarded.curl(10*time.Second, "-x", "socks5h://ada:open%20sesame@localhost"+socket, "http://172.24.0.10/"); code != 0 || !strings.Contains(out, marker) {
		t.Errorf("over the Unix socket: curl exit %d\n%s", code, out)
	}
	outside := "https://" + w.addr + "/"
	if out, code := guarded.curl(10*time.Second, "-k", "-x", "socks5h://ada:open%20sesame@127.0.0.1:1081", outside); code != 0 {
		t.Errorf("outside the mesh with --proxy-outside=direct: curl exit %d\n%s", code, out)
	}
	if out, code := laptop.curl(10*time.Second, "-k", "-x", laptop.socks5h(), outside); code != 97 || !strings.Contains(out, "(2)") {
		t.Errorf("outside the mesh without: curl exit %d\n%s", code, out)
	}
	if out, code := laptop.curl(10*time.Second, "http://"+laptop.proxy+"/proxy.pac"); code != 0 || !strings.Contains(out, "FindProxyForURL") || !strings.Contains(out, "node1") {
		t.Errorf("proxy.pac: curl exit %d\n%s", code, out)
	}
}

// plainClients are the clients that need at most a server in c1.
func plainClients(_ *testing.T, w *world, laptop *node) []stockClient {
	dir := w.ownDir("c1-files")
	w.asFile("c1-files", "page", "a file of c1\n")
	rsyncd := w.asFile("conf", "rsyncd.conf", "use chroot = no\nport = 8730\n[files]\npath = "+dir+"\n")
	w.start("c1", "rsyncd", nil, "rsync", "--daemon", "--no-detach", "--config="+rsyncd)
	w.start("c1", "iperf3", nil, "iperf3", "-s")
	w.start("c1", "redis", nil, "redis-server", "--port", "6379", "--protected-mode", "no", "--save", "", "--dir", dir)
	chains := proxychains(w, laptop)
	socks := w.asFile("conf", "socks.conf", "route {\n from: 0.0.0.0/0 to: 0.0.0.0/0 via: "+strings.Replace(laptop.proxy, ":", " port = ", 1)+
		"\n proxyprotocol: socks_v5\n command: connect udpassociate\n protocol: tcp udp\n method: none\n}\n")
	socksify := []string{"env", "SOCKS_CONF=" + socks, "socksify"}
	udp := "import socket\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)" + askUDPEcho
	host, port, _ := strings.Cut(laptop.proxy, ":")
	pysocks := func(kind string) string {
		return fmt.Sprintf("import socks\ns = socks.socksocket(type=socks.socket.SOCK_%s)\ns.set_proxy(socks.SOCKS5, %q, %s)", kind, host, port)
	}
	large := func(n int, to string) string {
		return fmt.Sprintf("\ns.settimeout(10)\ns.sendto(bytes(%d), %s)\nprint(len(s.recvfrom(70000)[0]))", n, to)
	}
	environment := `eval "$("$0" env --state-dir="$1")" && curl -sS http://172.24.0.10/`
	nc := "sh -c 'printf x | NEXD_STATE_DIR=" + laptop.state + " " + bin("nexd") + " nc 172.24.0.10 9'"
	return append([]stockClient{
		{"nexd nc", "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881", []string{"sh", "-c", nc}},
		{"rsync over -L", "page", []string{"rsync", "--port=8730", "rsync://127.0.0.1/files/"}},
		{"curl over proxychains4", marker, append(chains, "curl", "-sS", "http://172.24.0.10/")},
		{"socksify TCP", marker, append(slices.Clone(socksify), "curl", "-sS", "http://172.24.0.10/")},
		{"socksify UDP", "over udp", append(slices.Clone(socksify), python, "-c", udp)},
		{"PySocks TCP", "over tcp", []string{python, "-c", pysocks("STREAM") + askTCPEcho}},
		{"PySocks UDP", "over udp", []string{python, "-c", pysocks("DGRAM") + askUDPEcho}},
		{"PySocks UDP, the largest", "65497", []string{python, "-c", pysocks("DGRAM") + large(65497, `("172.24.0.10", 7)`)}},
		{"UDP over -L, the largest", "65507", []string{python, "-c", "import socket\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)" + large(65507, `("127.0.0.1", 7007)`)}},
		{"nexd env", marker, []string{"sh", "-c", environment, bin("nexd"), laptop.state}},
		{"iperf3 over -L", "receiver", []string{"iperf3", "-c", "127.0.0.1", "-t", "1"}},
		{"iperf3 -R over -L", "receiver", []string{"iperf3", "-c", "127.0.0.1", "-t", "1", "-R"}},
		{"iperf3 UDP over -L", "receiver", []string{"iperf3", "-c", "127.0.0.1", "-t", "1", "-u", "-b", "5M", "-l", "1200"}},
		{"redis-benchmark over -L", "requests per second", []string{"redis-benchmark", "-p", "6379", "-n", "500", "-c", "10", "-t", "set,get", "-q"}},
	}, digClients(w, socksify)...)
}

// proxychains returns the command that sends a program's connections through the laptop's
// proxy.
func proxychains(w *world, laptop *node) []string {
	conf := w.asFile("conf", "proxychains.conf", "strict_chain\n[ProxyList]\nsocks5 "+strings.Replace(laptop.proxy, ":", " ", 1)+"\n")
	return []string{"proxychains4", "-q", "-f", conf}
}

// says runs a client on the laptop and checks its output.
func (w *world) says(t *testing.T, c stockClient) {
	t.Helper()
	out, code := w.try("laptop", testLimit, c.args...)
	if code != 0 || !strings.Contains(out, c.want) {
		t.Errorf("exit %d, want %q in\n%s", code, c.want, out)
	}
}
