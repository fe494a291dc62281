package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"nexd/control"
	"nexd/internal/eventually"
	"nexd/internal/leak"
	"nexd/internal/program"
	"nexd/mesh"
)

// result is what a command left behind.
type result struct {
	code     int
	out, err string
}

func nexservice(t *testing.T, stdin string, args ...string) result {
	t.Helper()
	var out, errs bytes.Buffer
	code := run(t.Context(), args, program.Streams{In: strings.NewReader(stdin), Out: &out, Err: &errs})
	return result{code, out.String(), errs.String()}
}

// must runs a command that has to work.
func must(t *testing.T, args ...string) string {
	t.Helper()
	r := nexservice(t, "", args...)
	if r.code != program.ExitFine {
		t.Fatalf("nexservice %s: exit %d: %s", strings.Join(args, " "), r.code, r.err)
	}
	return r.out
}

// bootstrapped makes a database and says where it and the first key are.
func bootstrapped(t *testing.T) (db, key string) {
	t.Helper()
	dir := t.TempDir()
	db, key = filepath.Join(dir, "n.db"), filepath.Join(dir, "key")
	r := nexservice(t, "correct horse\n", "bootstrap", "--db="+db, "--user=ada@example.com", "--password-file=-", "--reg-key-out="+key)
	if r.code != program.ExitFine {
		t.Fatalf("bootstrap: exit %d: %s", r.code, r.err)
	}
	return db, key
}

// syncBuffer can be read while a command writes.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}
func (s *syncBuffer) String() string { s.mu.Lock(); defer s.mu.Unlock(); return s.b.String() }

// serve runs a service until the test ends and returns its ready line.
func serve(t *testing.T, args ...string) (ready string, stop func() int) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var out, errs syncBuffer
	done := make(chan int, 1)
	go func() {
		done <- run(ctx, append([]string{"serve", "--listen=127.0.0.1:0"}, args...), program.Streams{In: strings.NewReader(""), Out: &out, Err: &errs})
	}()
	stop = sync.OnceValue(func() int { cancel(); return <-done })
	t.Cleanup(func() { stop() })
	eventually.Shown(t, eventually.Patience, func() string { return "ready: " + errs.String() }, func() bool {
		ready = out.String()
		return strings.HasSuffix(ready, "\n")
	})
	return strings.TrimSpace(ready), stop
}

// joiner makes a client from what a user has: the ready line's URL and a key.
func joiner(t *testing.T, rawURL, rawKey string) (*control.Client, control.RegKey) {
	t.Helper()
	u, err := control.ParseJoinURL(rawURL)
	if err != nil {
		t.Fatal(err)
	}
	k, err := control.ParseRegKey(rawKey)
	if err != nil {
		t.Fatal(err)
	}
	if u, err = u.WithKey(k); err != nil {
		t.Fatal(err)
	}
	priv, err := mesh.NewPrivateKey()
	if err != nil {
		t.Fatal(err)
	}
	c, err := control.NewClient(control.Config{URL: u, Key: priv, Insecure: true, Proxy: func(*http.Request) (*url.URL, error) { return nil, nil }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c, k
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestFirstHour(t *testing.T) {
	leak.Check(t)
	db, keyFile := bootstrapped(t)
	if info, err := os.Stat(keyFile); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("key file: %v, %v", info.Mode(), err)
	}
	ready, stop := serve(t, "--db="+db)
	fields := strings.Fields(ready)
	if len(fields) != 3 || fields[0] != "ready" || !strings.HasSuffix(fields[1], "/#"+fields[2]) || !strings.HasPrefix(fields[2], "pin=") {
		t.Fatalf("ready line: %q", ready)
	}
	c, key := joiner(t, fields[1], readFile(t, keyFile))
	if key.Pin.IsZero() || "pin="+key.Pin.String() != fields[2] {
		t.Errorf("key has pin %v", key.Pin)
	}
	reg, err := c.Register(t.Context(), control.Registration{RegKey: key.Text(), Hostname: "node1"})
	if err != nil {
		t.Fatal(err)
	}
	// commands work beside the running service
	var nodes []control.NodeInfo
	if err := json.Unmarshal([]byte(must(t, "node", "list", "--json", "--db="+db)), &nodes); err != nil || len(nodes) != 1 || nodes[0].ID != reg.Node.ID {
		t.Errorf("node list: %+v, %v", nodes, err)
	}
	if old, now := must(t, "device", "list", "--db="+db), must(t, "node", "list", "--db="+db); old != now { // the old word
		t.Errorf("device list:\n%snode list:\n%s", old, now)
	}
	if _, err := c.Register(t.Context(), control.Registration{Hostname: "node1", Prefixes: prefixes(t, "172.24.0.0/24")}); err != nil {
		t.Fatal(err)
	}
	if out := must(t, "prefix", "list", "--db="+db); !strings.Contains(out, "172.24.0.0/24  node1   advertised") {
		t.Errorf("prefix list:\n%s", out)
	}
	if out := must(t, "--db="+db, "prefix", "release", "172.24.0.0/24"); !strings.Contains(out, "node1") {
		t.Errorf("prefix release: %s", out)
	}
	if out := must(t, "node", "remove", "node1", "--db="+db); !strings.Contains(out, string(reg.Node.ID)) {
		t.Errorf("node remove: %s", out)
	}
	if _, err := c.UpdateEndpoints(t.Context(), control.EndpointUpdate{}); control.ReasonOf(err) != control.ReasonGone {
		t.Errorf("removed node: %v", err)
	}
	start := time.Now()
	if code := stop(); code != program.ExitFine || time.Since(start) > 10*time.Second {
		t.Errorf("serve ended with %d after %v", code, time.Since(start))
	}
}

func TestOrganizationsAndKeys(t *testing.T) {
	db, _ := bootstrapped(t)
	must(t, "org", "create", "blue", "--db="+db)
	if r := nexservice(t, "", "org", "create", "blue", "--db="+db); r.code != program.ExitFailed || !strings.Contains(r.err, "blue") {
		t.Errorf("twice: %+v", r)
	}
	var orgs []orgJSON
	if err := json.Unmarshal([]byte(must(t, "org", "list", "--json", "--db="+db)), &orgs); err != nil || len(orgs) != 2 || len(orgs[0].Pools) != 2 {
		t.Errorf("org list: %+v, %v", orgs, err)
	}
	out := filepath.Join(t.TempDir(), "blue.key")
	text := must(t, "key", "create", "--org=blue", "--uses=1", "--expires=1h", "--description=for a test", "--reg-key-out="+out, "--db="+db)
	if secret := strings.TrimSpace(readFile(t, out)); strings.Contains(text, secret) || !strings.HasPrefix(secret, "nxk_") {
		t.Errorf("key create shows the key: %s", text)
	}
	shown := strings.TrimSpace(must(t, "key", "create", "--org=blue", "--db="+db))
	if k, err := control.ParseRegKey(shown); err != nil || k.Pin.IsZero() {
		t.Errorf("key create without a file shows %q", shown)
	}
	if k, err := control.ParseRegKey(must(t, "key", "create", "--no-pin", "--reg-key-out=-", "--db="+db)); err != nil || !k.Pin.IsZero() {
		t.Errorf("--no-pin: %v, %v", k.Pin, err)
	}
	var keys []control.Key
	list := func() string {
		s := must(t, "key", "list", "--org=blue", "--json", "--db="+db)
		keys = nil
		if err := json.Unmarshal([]byte(s), &keys); err != nil {
			t.Fatal(err)
		}
		return s
	}
	if s := list(); len(keys) != 2 || strings.Contains(s, shown) {
		t.Errorf("key list: %s", s)
	}
	must(t, "key", "revoke", keys[0].ID, "--org=blue", "--db="+db)
	if list(); keys[0].State != "revoked" || keys[1].State != "usable" {
		t.Errorf("after revoking: %+v", keys)
	}
	if out := must(t, "key", "list", "--org=blue", "--db="+db); !strings.Contains(out, "for a test") {
		t.Errorf("key table:\n%s", out)
	}
	for _, args := range [][]string{{"key", "revoke", "nothing"}, {"node", "remove", "nothing"}, {"prefix", "release", "10.0.0.0/24"}} {
		if r := nexservice(t, "", append(args, "--db="+db)...); r.code != program.ExitFailed || strings.Count(r.err, "\n") != 1 {
			t.Errorf("%v: %+v", args, r)
		}
	}
	if r := nexservice(t, "", "key", "list", "--org=red", "--db="+db); r.code != program.ExitFailed || !strings.Contains(r.err, "red") {
		t.Errorf("unknown organization: %+v", r)
	}
	if out := must(t, "renew-epoch", "--db="+db); !strings.Contains(out, "epoch is now") {
		t.Errorf("renew-epoch: %s", out)
	}
}

func TestBootstrapRefuses(t *testing.T) {
	db, key := bootstrapped(t)
	before := readFile(t, key)
	again := []string{"bootstrap", "--db=" + db, "--user=eve@example.com", "--password-file=-", "--reg-key-out=" + key}
	if r := nexservice(t, "correct horse\n", again...); r.code != program.ExitFailed || !strings.Contains(r.err, "not empty") || strings.Count(r.err, "\n") != 1 {
		t.Errorf("second bootstrap: %+v", r)
	}
	if readFile(t, key) != before {
		t.Error("the refused bootstrap touched the key file")
	}
	dir := t.TempDir()
	fresh := "--db=" + filepath.Join(dir, "f.db")
	for name, tt := range map[string]struct {
		stdin string
		args  []string
		text  string
	}{
		"short password":  {"x\n", []string{fresh, "--user=a@example.com", "--password-file=-"}, "at least 8"},
		"no password":     {"", []string{fresh, "--user=a@example.com", "--password-file=-"}, "at least 8"},
		"no such file":    {"", []string{fresh, "--user=a@example.com", "--password-file=/does/not/exist"}, "/does/not/exist"},
		"key out nowhere": {"correct horse", []string{fresh, "--user=a@example.com", "--password-file=-", "--reg-key-out=/does/not/exist/k"}, "/does/not/exist"},
		"key out a dir":   {"correct horse", []string{fresh, "--user=a@example.com", "--password-file=-", "--reg-key-out=" + dir}, "directory"},
	} {
		r := nexservice(t, tt.stdin, append([]string{"bootstrap"}, tt.args...)...)
		if r.code != program.ExitFailed || !strings.Contains(r.err, tt.text) || strings.Count(r.err, "\n") != 1 {
			t.Errorf("%s: %+v", name, r)
		}
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("refused bootstraps left %v", left)
	}
	out := nexservice(t, "correct horse", "bootstrap", fresh, "--user=a@example.com", "--password-file=-", "--public-url=https://mesh.example.com/")
	if out.code != program.ExitFine || !strings.Contains(out.out, "nxk_") || !strings.Contains(out.out, "'https://mesh.example.com/#pin=") {
		t.Errorf("bootstrap after the refusals: %+v", out)
	}
	if !strings.Contains(out.out, "--listen=:8443 --stun-listen=:3478 --stun-listen=:3479\n") {
		t.Errorf("how to serve behind something on port 443:\n%s", out.out)
	}
	other := nexservice(t, "correct horse", "bootstrap", "--db="+filepath.Join(t.TempDir(), "other.db"), "--user=a@example.com", "--password-file=-", "--public-url=http://mesh.example.com:9000")
	if !strings.Contains(other.out, "--listen=:9000 --http --stun-listen") {
		t.Errorf("how to serve on the public URL's port:\n%s", other.out)
	}
	ready, stop := serve(t, fresh)
	defer stop()
	if !strings.HasPrefix(ready, "ready https://mesh.example.com/#pin=") {
		t.Errorf("the public URL is forgotten: %s", ready)
	}
}

func TestServeWays(t *testing.T) {
	leak.Check(t)
	db, keyFile := bootstrapped(t)
	ready, stop := serve(t, "--db="+db, "--http")
	if fields := strings.Fields(ready); len(fields) != 2 || !strings.HasPrefix(fields[1], "http://127.0.0.1:") {
		t.Fatalf("plain: %q", ready)
	}
	c, key := joiner(t, strings.Fields(ready)[1], readFile(t, keyFile))
	if _, err := c.Register(t.Context(), control.Registration{RegKey: key.Secret()}); err != nil {
		t.Errorf("plain: %v", err)
	}
	port := strings.TrimSuffix(strings.TrimPrefix(strings.Fields(ready)[1], "http://127.0.0.1:"), "/")
	if r := nexservice(t, "", "serve", "--db="+db, "--listen=127.0.0.1:"+port); r.code != program.ExitFailed || !strings.Contains(r.err, "in use") || strings.Count(r.err, "\n") != 1 {
		t.Errorf("port taken: %+v", r)
	}
	r := nexservice(t, "", "serve", "--db="+db, "--listen=127.0.0.1:"+port, "--log-format=json")
	var last struct {
		Msg  string
		Err  string
		Code int `json:"exit_code"`
	}
	for line := range strings.Lines(r.err) {
		if err := json.Unmarshal([]byte(line), &last); err != nil {
			t.Errorf("%s: %v", line, err)
		}
	}
	if r.code != program.ExitFailed || last.Msg != "ended" || last.Code != r.code || !strings.Contains(last.Err, "in use") {
		t.Errorf("port taken, with a log of JSON: %+v", r)
	}
	stop()

	cert, keyPEM := ownCertificate(t)
	ready, stop = serve(t, "--db="+db, "--tls-cert="+cert, "--tls-key="+keyPEM, "--trusted-proxy=127.0.0.1")
	if fields := strings.Fields(ready); len(fields) != 2 || strings.Contains(ready, "pin") {
		t.Errorf("a given certificate is shown with a pin: %q", ready)
	}
	stop()
	for name, tt := range map[string]struct {
		args []string
		text string
	}{
		"no such cert":   {[]string{"--db=" + db, "--tls-cert=/nope", "--tls-key=/nope"}, "/nope"},
		"cert and key":   {[]string{"--db=" + db, "--tls-cert=" + cert, "--tls-key=" + cert}, cert},
		"no database":    {[]string{"--db=" + filepath.Join(keyFile, "x.db")}, "x.db"},
		"foreign addr":   {[]string{"--db=" + db, "--listen=192.0.2.77:1"}, "192.0.2.77"},
		"not a database": {[]string{"--db=" + keyFile}, keyFile},
	} {
		if r := nexservice(t, "", append([]string{"serve", "--listen=127.0.0.1:0"}, tt.args...)...); r.code != program.ExitFailed || !strings.Contains(r.err, tt.text) || strings.Count(r.err, "\n") != 1 {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

func TestWrongUsage(t *testing.T) {
	for _, args := range [][]string{
		{}, {"srve"}, {"serve"}, {"serve", "--db=x", "--listen=nonsense"}, {"serve", "--db=x", "--http", "--tls-cert=a", "--tls-key=b"},
		{"serve", "--db=x", "--tls-cert=a"}, {"serve", "--db=x", "--trusted-proxy=a"}, {"serve", "--db=x", "--public-url=mesh"},
		{"serve", "--db=x", "--public-url=http://mesh"}, {"serve", "--db=x", "--public-url=https://h/#pin=" + strings.Repeat("ab", 32)},
		{"serve", "--db=x", "--stun-listen=3478"}, {"serve", "--db=x", "--log-level=loud"}, {"bootstrap", "--db=x"}, {"bootstrap", "--db=x", "--user=a@b.c"},
		{"key"}, {"key", "create", "--db=x", "--uses=-1"}, {"key", "create", "--db=x", "--uses=many"}, {"key", "create", "--db=x", "--expires=soon"},
		{"prefix", "release", "--db=x"}, {"prefix", "release", "10.0.0.1/8", "--db=x"}, {"node", "remove", "--db=x"}, {"org", "create", "--db=x"}, {"org", "list"},
		{"org", "list", "extra", "--db=x"}, {"--nonsense"},
	} {
		r := nexservice(t, "", args...)
		if r.code != program.ExitUsage || !strings.HasPrefix(r.err, "nexservice: ") || strings.Count(r.err, "\n") != 2 || r.out != "" {
			t.Errorf("nexservice %v: %+v", args, r)
		}
	}
	for _, args := range [][]string{{"--help"}, {"serve", "--help"}, {"--version"}, {"key", "create", "-h"}} {
		if r := nexservice(t, "", args...); r.code != program.ExitFine || r.out == "" || r.err != "" {
			t.Errorf("nexservice %v: %+v", args, r)
		}
	}
}

func TestEnvironment(t *testing.T) {
	db, _ := bootstrapped(t)
	cert, key := ownCertificate(t)
	t.Setenv("NEXSERVICE_DB", db)
	if out := must(t, "org", "list"); !strings.Contains(out, "default") {
		t.Errorf("NEXSERVICE_DB: %s", out)
	}
	t.Setenv("NEXSERVICE_ORG", "nowhere")
	if r := nexservice(t, "", "key", "list"); r.code != program.ExitFailed {
		t.Errorf("NEXSERVICE_ORG: %+v", r)
	}
	if must(t, "key", "list", "--org=default") == "" {
		t.Error("a flag does not beat the environment")
	}
	t.Setenv("NEXSERVICE_HTTP", "true")
	ready, stop := serve(t)
	if !strings.HasPrefix(ready, "ready http://") {
		t.Errorf("NEXSERVICE_HTTP: %s", ready)
	}
	stop()
	ready, stop = serve(t, "--tls-cert="+cert, "--tls-key="+key)
	if !strings.HasPrefix(ready, "ready https://") {
		t.Errorf("--tls-cert does not beat NEXSERVICE_HTTP: %s", ready)
	}
	stop()
	t.Setenv("NEXSERVICE_DB", "")
	t.Setenv("NEXSERVICE_DATA_DIR", filepath.Dir(db))
	if r := nexservice(t, "", "org", "list"); r.code != program.ExitFailed || !strings.Contains(r.err, filepath.Join(filepath.Dir(db), "nexservice.db")) {
		t.Errorf("NEXSERVICE_DATA_DIR: %+v", r)
	}
}

func TestSecretsStayOutOfTheLog(t *testing.T) {
	db, keyFile := bootstrapped(t)
	ctx, cancel := context.WithCancel(context.Background())
	var out, errs syncBuffer
	done := make(chan int, 1)
	go func() {
		done <- run(ctx, []string{"serve", "--db=" + db, "--listen=127.0.0.1:0", "--log-level=debug"}, program.Streams{In: strings.NewReader(""), Out: &out, Err: &errs})
	}()
	eventually.True(t, "the service is ready", func() bool { return strings.HasSuffix(out.String(), "\n") })
	c, key := joiner(t, strings.Fields(out.String())[1], readFile(t, keyFile))
	reg, err := c.Register(t.Context(), control.Registration{RegKey: key.Secret(), Hostname: "node1"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.UpdateEndpoints(t.Context(), control.EndpointUpdate{}); err != nil {
		t.Fatal(err)
	}
	cancel()
	<-done
	log := errs.String()
	for _, secret := range []string{key.Secret(), reg.Session.Token, "Bearer"} {
		if strings.Contains(log, secret) {
			t.Errorf("the log shows %q", secret)
		}
	}
	if !strings.Contains(log, "/v1/register") {
		t.Errorf("no request in the debug log:\n%s", log)
	}
}

func TestListenAnyAddressIsShownAsOneToReach(t *testing.T) {
	db, _ := bootstrapped(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	ln.Close()
	ready, _ := serve(t, "--db="+db, "--listen=:"+port)
	u, err := control.ParseJoinURL(strings.Fields(ready)[1])
	if err != nil || strings.HasPrefix(u.Host, "[::]") || strings.HasPrefix(u.Host, "0.0.0.0") {
		t.Errorf("%q, %v", ready, err)
	}
}
