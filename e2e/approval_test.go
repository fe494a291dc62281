package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"nexd/agent/localapi"
)

// TestWalkthroughWithoutAKey follows the README's walkthrough: two routers and a laptop
// wait, a person approves them in a browser, and the laptop reaches the containers.
func TestWalkthroughWithoutAKey(t *testing.T) {
	w := newWorld(t)
	ada := w.person("laptop")
	node1 := w.typed("node1", "nexd router --advertise-cidr=172.24.0.0/24 "+w.url)
	node2 := w.typed("node2", "nexd router --advertise-cidr=172.28.0.0/24 "+w.url)
	laptop := w.typed("laptop", "nexd --userspace "+w.url)
	wants := map[*node]string{node1: "172.24.0.0/24", node2: "172.28.0.0/24", laptop: "none"}

	k := node1.shows()
	if !strings.HasPrefix(k.link, "https://"+w.addr+"/device?user_code="+k.code) {
		t.Errorf("link %s for code %s of the service at %s", k.link, k.code, w.addr)
	}
	if s := node1.status(); s.State != localapi.StateWaiting || s.Approval == nil || s.Approval.Link != k.link || s.Approval.Code != k.code {
		t.Errorf("status of a waiting node: %+v", s)
	}
	if out, code := node1.cli(slowly, "status"); code != 0 || !strings.Contains(out, "waiting for approval") || !strings.Contains(out, k.link) {
		t.Errorf("nexd status: exit %d\n%s", code, out)
	}
	ada.browse(k.link)
	ada.signIn()
	for i, n := range []*node{node1, node2, laptop} {
		k := n.shows()
		if i > 0 {
			ada.browse(k.link)
		}
		ada.sees(n.ns, k.code, k.fingerprint, wants[n], "linux", "default")
		ada.submit("/device/approve", "")
		n.joined()
		noCapabilities(t, n)
	}
	if strings.Contains(laptop.log(), "█") {
		t.Error("a QR code was drawn where no terminal is")
	}
	for _, url := range []string{"http://172.24.0.10/", "http://172.28.0.10/", "http://172.24.0.10/"} {
		laptop.mustFetch(url)
	}
	if s := laptop.status(); s.Organization != "default" || len(s.Peers) != 2 || s.Approval != nil {
		t.Errorf("status of the laptop: %+v", s)
	}

	t.Run("a code is good for one node", func(t *testing.T) {
		if status := ada.ask(k.link); status != "404" || strings.Contains(ada.see, k.fingerprint) {
			t.Errorf("a used code answers %s\n%s", status, ada.see)
		}
	})
	t.Run("known after a restart", func(t *testing.T) {
		node1.stop(syscall.SIGKILL)
		node1 = w.typed("node1", "nexd router --advertise-cidr=172.24.0.0/24 "+w.url)
		node1.joined()
		if strings.Contains(node1.log(), "/device") {
			t.Errorf("a known node asked again:\n%s", node1.log())
		}
		laptop.mustFetch("http://172.24.0.10/")
	})
	t.Run("administered over the API, and no secret shows up again", func(t *testing.T) { administered(t, w, ada, node1, node2, laptop) })
}

// administered creates an API token in the browser, uses nexd admin with it, and checks
// that secrets appear nowhere else.
func administered(t *testing.T, w *world, ada *person, nodes ...*node) {
	ada.browse("https://" + w.addr + "/account")
	ada.submit("/account/tokens", "", "description=e2e", "scope=write", "life=hour")
	token := regexp.MustCompile(`nxt_[A-Za-z0-9_-]{20,}`).FindString(ada.see)
	if token == "" {
		t.Fatalf("no token at %s\n%s", ada.at, ada.see)
	}
	file := filepath.Join(w.ownDir("browser-laptop"), "token")
	if err := os.WriteFile(file, []byte(token+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	said := ""
	admin := func(args ...string) string {
		t.Helper()
		out := w.must("laptop", slowly, append([]string{bin("nexd"), "admin", "--service-url=" + w.url, "--token-file=" + file}, args...)...)
		said += out
		return out
	}
	key := strings.TrimSpace(admin("key", "create", "--uses=1"))
	said = ""
	waiting := w.typed("svc", "nexd --userspace --proxy-listen=off "+w.url)
	k := waiting.shows()
	if out := admin("node", "pending", strings.ToLower(k.code)); !strings.Contains(out, k.fingerprint) {
		t.Errorf("pending:\n%s", out)
	}
	admin("node", "approve", k.code)
	waiting.joined()
	if out := admin("node", "list"); !strings.Contains(out, "172.28.0.0/24") || strings.Count(out, "online") != 4 {
		t.Errorf("nodes:\n%s", out)
	}
	var list struct {
		Nodes []struct{ Name string }
	}
	if err := json.Unmarshal([]byte(admin("node", "list", "--json")), &list); err != nil || len(list.Nodes) != 4 {
		t.Errorf("nodes as JSON: %v, %+v", err, list)
	}
	for _, args := range [][]string{{"user"}, {"org"}, {"member"}, {"invitation"}, {"key"}, {"key", "--json"}, {"token"}, {"token", "--json"}, {"prefix"}, {"audit", "--json"}} {
		admin(args...)
	}
	if out := admin("audit"); !strings.Contains(out, "ada@example.org") || !strings.Contains(out, "192.0.2.21") {
		t.Errorf("audit:\n%s", out)
	}
	if out := admin("audit", "--mine"); !strings.Contains(out, "token.create") || strings.Contains(out, "node.approve") {
		t.Errorf("audit --mine:\n%s", out)
	}
	changesByAPI(t, w, file, admin)
	admin("node", "remove", "svc")
	endsWith(t, waiting.proc, 1, "removed")
	again := w.typed("svc", "nexd --userspace --proxy-listen=off "+w.url)
	endsWith(t, again.proc, 1, "removed from its organization")
	if strings.Contains(again.log(), "/device") {
		t.Errorf("a removed node asked to be let in:\n%s", again.log())
	}
	for _, page := range []string{"/account", "/orgs/default/keys", "/orgs/default/people", "/orgs/default/nodes", "/orgs/default/audit"} {
		ada.browse("https://" + w.addr + page)
		said += ada.see
	}
	noSecrets(t, w, said, append(nodes, waiting), token, password, strings.Split(key, "_")[1], ada.cookies())
}

// changesByAPI makes and reverts an administrator's changes with nexd admin.
func changesByAPI(t *testing.T, w *world, tokenFile string, admin func(...string) string) {
	t.Helper()
	fails := func(file, want string, args ...string) {
		t.Helper()
		full := append([]string{bin("nexd"), "admin", "--service-url=" + w.url, "--token-file=" + file}, args...)
		if out, code := w.try("laptop", slowly, full...); code != 1 || !strings.Contains(out, want) {
			t.Errorf("%q: exit %d, want 1 and %q\n%s", args, code, want, out)
		}
	}
	id := func(out string) string {
		t.Helper()
		var v struct{ ID string }
		if err := json.Unmarshal([]byte(out), &v); err != nil || v.ID == "" {
			t.Fatalf("no ID in %s: %v", out, err)
		}
		return v.ID
	}
	admin("org", "create", "lab")
	admin("org", "default", "lab")
	if out := admin("node", "list"); strings.Contains(out, "node1") {
		t.Errorf("nodes of another organization are listed:\n%s", out)
	}
	admin("org", "default", "default")
	fails(tokenFile, "", "node", "list", "--org=nowhere")

	dir := filepath.Dir(tokenFile)
	invitation := id(admin("invitation", "create", "--role=auditor", "--json", "--out="+filepath.Join(dir, "invitation")))
	link, err := os.ReadFile(filepath.Join(dir, "invitation"))
	if err != nil || !strings.HasPrefix(string(link), "https://"+w.addr+"/invite/") {
		t.Errorf("invitation %q, %v", link, err)
	}
	admin("invitation", "revoke", invitation)
	key := id(admin("key", "create", "--json", "--out="+filepath.Join(dir, "key")))
	if out := admin("key", "revoke", key); !strings.Contains(out, "Revoked") {
		t.Errorf("revoke: %s", out)
	}
	fails(tokenFile, "", "member", "remove", "ada@example.org") // the last owner
	admin("prefix", "release", "172.28.0.0/24")

	reader := filepath.Join(dir, "reader")
	token := id(admin("token", "create", "--scope=read", "--expires=1h", "--json", "--out="+reader))
	fails(reader, "scopes", "key", "create")
	admin("token", "revoke", token)
	fails(reader, "create another token", "user")
}

// cookies is the value of the session cookie.
func (p *person) cookies() string {
	b, err := os.ReadFile(p.jar)
	if err != nil {
		p.w.t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)\t(?:__Host-)?nexd\t(\S+)$`).FindSubmatch(b)
	if m == nil {
		p.w.t.Fatalf("no session cookie in\n%s", b)
	}
	return string(m[1])
}

// noSecrets looks for secrets in logs, in the process list, and in later answers of the
// API and the pages.
func noSecrets(t *testing.T, w *world, said string, nodes []*node, secrets ...string) {
	t.Helper()
	places := map[string]string{"an answer or a page": said, "the service's log": w.svc.log()}
	for _, n := range nodes {
		places["the log of "+n.name] = n.log()
		kept, err := os.ReadFile(filepath.Join(n.state, "identity.json"))
		if err != nil {
			t.Fatal(err)
		}
		m := regexp.MustCompile(`"private_key": "([^"]+)"`).FindSubmatch(kept)
		if m == nil {
			t.Fatalf("no private key in %s", kept)
		}
		secrets = append(secrets, string(m[1]))
	}
	procs, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, p := range procs {
		b, _ := os.ReadFile(p)
		places[p] = string(b)
	}
	for _, s := range secrets {
		if len(s) < 16 {
			t.Errorf("a secret of %d bytes", len(s))
		}
		for where, text := range places {
			if strings.Contains(text, s) {
				t.Errorf("%s shows a secret, %s…", where, s[:8])
			}
		}
	}
}

// TestAPersonSaysNo denies a node, lets a code expire, and interrupts a waiting node.
func TestAPersonSaysNo(t *testing.T) {
	w := newWorld(t)
	ada := w.person("node2")
	denied := w.typed("laptop", "nexd --userspace "+w.url)
	ada.browse(denied.shows().link)
	ada.signIn()
	ada.submit("/device/approve", "/device/deny")
	endsWith(t, denied.proc, 1, "was denied", "nothing was registered")

	interrupted := w.typed("laptop", "nexd --userspace "+w.url)
	k := interrupted.shows()
	if took := interrupted.stop(syscall.SIGINT); took > 2*time.Second {
		t.Errorf("Ctrl-C took %v", took)
	}
	ada.browse(k.link) // the person is too late
	ada.submit("/device/approve", "")

	// The same node asks again from another process, which ends the first code as if it
	// had expired.
	first := w.typed("node1", "nexd --userspace "+w.url)
	first.shows()
	copied := filepath.Join(w.ownDir("home-svc"), "nexd")
	w.sh("cp", "-a", first.state, copied)
	second := w.typed("svc", "nexd --userspace --proxy-listen=off "+w.url)
	second.shows()
	endsWith(t, first.proc, 1, "run the same command again")
	second.stop(syscall.SIGTERM)

	ada.browse("https://" + w.addr + "/orgs/default/nodes")
	for _, host := range []string{"laptop", "node1"} {
		if strings.Contains(ada.see, ">"+host+"<") {
			t.Errorf("%s is listed as a node\n%s", host, ada.see)
		}
	}
	again := w.typed("laptop", "nexd --userspace "+w.url)
	ada.browse(again.shows().link)
	ada.submit("/device/approve", "")
	again.joined()
}

// TestAServiceThatIsNotTrusted joins with URLs without a pin and with a wrong pin.
func TestAServiceThatIsNotTrusted(t *testing.T) {
	w := newWorld(t)
	bare, pin, _ := strings.Cut(w.url, "#pin=")
	wrong := w.typed("laptop", "nexd --userspace "+bare+"#pin="+strings.Repeat("ab", 32))
	endsWith(t, wrong.proc, 1, "another service answers there", "has pin "+pin)

	unpinned := w.typed("laptop", "nexd --userspace "+bare)
	endsWith(t, unpinned.proc, 1, "fingerprint (SHA-256) "+pin, "Compare it")
	shown := regexp.MustCompile(`use the URL (\S+)`).FindStringSubmatch(unpinned.log())
	if shown == nil || shown[1] != w.url {
		t.Fatalf("shown %q, the service says %s", shown, w.url)
	}
	taken := w.typed("laptop", "nexd --userspace "+shown[1])
	taken.shows()
	for _, n := range []*node{wrong, unpinned} {
		if strings.Contains(n.log(), "user_code") {
			t.Errorf("asked a service that is not trusted:\n%s", n.log())
		}
	}
}

// TestAKeyThatFailsIsNotFollowedByAQuestion joins with an invalid key, which must not
// start a device login.
func TestAKeyThatFailsIsNotFollowedByAQuestion(t *testing.T) {
	w := newWorld(t)
	file := filepath.Join(w.ownDir("home-laptop"), "key")
	if err := os.WriteFile(file, []byte("nxk_"+strings.Repeat("a", 32)+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	n := w.typed("laptop", "nexd --userspace --reg-key-file="+file+" "+w.url)
	endsWith(t, n.proc, 1, "registration key")
	if strings.Contains(n.log(), "user_code") {
		t.Errorf("asked all the same:\n%s", n.log())
	}
}
