package service_test

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"nexd/control"
	"nexd/mesh"
	"nexd/service"
	"nexd/service/store"
)

func TestProofs(t *testing.T) {
	w := newWorld(t)
	now := time.Now()
	var mu sync.Mutex
	r := w.start(func(c *service.Config, _ *store.Options) {
		c.Now = func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	})
	key, _ := mesh.NewPrivateKey()
	stranger, _ := mesh.NewPrivateKey()
	c := rawCaller{t, key, insecureHTTP(t)}
	body := c.registration(w.boot.KeySecret, w.pin)
	sessionBody, _ := json.Marshal(control.SessionRequest{PublicKey: key.Public(), ServerPin: w.pin})
	foreign, _ := json.Marshal(control.Registration{PublicKey: key.Public(), RegKey: w.boot.KeySecret, ServerPin: control.Pin{1}})
	ch := func() control.Challenge { return c.challenge(r.url) }
	check := func(name string, status int, out []byte, want int, reason string) {
		t.Helper()
		if p := problemIn(t, out); status != want || p.Reason != reason || p.Status != status {
			t.Errorf("%s: %d %s, want %d %q", name, status, out, want, reason)
		}
	}
	status, out := c.answer(r.url, ch(), control.PathRegister, body, append(bytes.Clone(body), ' '))
	check("another body", status, out, 403, control.ReasonProof)
	status, out = c.answer(r.url, ch(), control.PathRegister, sessionBody, sessionBody)
	check("empty registration", status, out, 403, control.ReasonRegKeyNeeded)
	got := ch()
	proof, err := control.Prove(stranger, got.ServiceKey, got.Nonce, control.PathRegister, body)
	if err != nil {
		t.Fatal(err)
	}
	status, out = c.post(r.url, control.PathRegister, got.Nonce.String(), proof.String(), body)
	check("another's private key", status, out, 403, control.ReasonProof)
	status, out = c.post(r.url, control.PathRegister, "", "", body)
	check("no proof", status, out, 400, control.ReasonProof)
	status, out = c.post(r.url, control.PathRegister, "AAAA", "AAAA", body)
	check("garbled proof", status, out, 400, "")
	status, out = c.answer(r.url, ch(), control.PathRegister, foreign, foreign)
	check("TLS of somebody else", status, out, 403, control.ReasonServerPin)

	forged := ch()
	binary.BigEndian.PutUint64(forged.Nonce[16:], uint64(forged.Nonce.Expires().Unix()+30)) // a longer life
	status, out = c.answer(r.url, forged, control.PathRegister, body, body)
	check("forged expiry", status, out, 403, control.ReasonProof)
	late := ch()
	mu.Lock()
	now = now.Add(control.ChallengeLife + time.Second)
	mu.Unlock()
	status, out = c.answer(r.url, late, control.PathRegister, body, body)
	check("expired", status, out, 403, control.ReasonChallenge)

	good := ch()
	if status, out = c.answer(r.url, good, control.PathRegister, body, body); status != 200 {
		t.Fatalf("good proof: %d %s", status, out)
	}
	status, out = c.answer(r.url, good, control.PathRegister, body, body)
	check("replayed", status, out, 403, control.ReasonChallenge)
	status, out = c.answer(r.url, ch(), control.PathSession, sessionBody, sessionBody)
	if status != 200 {
		t.Errorf("session: %d %s", status, out)
	}
	for _, low := range []mesh.Key{{}, {1}} {
		in, _ := json.Marshal(control.ChallengeRequest{PublicKey: low})
		resp, err := c.http.Post(r.url.Base()+control.PathChallenge, control.TypeJSON, bytes.NewReader(in))
		if err != nil {
			t.Fatal(err)
		}
		check("low-order key", resp.StatusCode, bodyOf(t, resp), 400, "")
	}
}

// Whatever is sent, the answer is a problem in JSON that tells nothing of the
// inside, and the service lives.
func TestGarbage(t *testing.T) {
	w := newWorld(t)
	r := w.start()
	n := r.node(t)
	reg := n.mustRegister(w.boot.KeySecret, "a")
	client := insecureHTTP(t)
	deep := strings.Repeat("[", 100_000)
	for _, tt := range []struct {
		method, path, auth, body string
		status                   int
	}{
		{"POST", control.PathChallenge, "", "", 400},
		{"POST", control.PathChallenge, "", "<html>", 422},
		{"POST", control.PathChallenge, "", `{"public_key":"` + strings.Repeat("A", 43) + `"}`, 422},
		{"POST", control.PathChallenge, "", `{"public_key":7}`, 422},
		{"POST", control.PathChallenge, "", `[]`, 422},
		{"POST", control.PathChallenge, "", `null`, 400},
		{"POST", control.PathRegister, "", deep, 422},
		{"POST", control.PathRegister, "", `{"hostname":"` + strings.Repeat("x", control.MaxRequest) + `"}`, 413},
		{"POST", control.PathRegister, "", `{}`, 400},
		{"PUT", control.PathPrefixes, "", `{"prefixes":[]}`, 401},
		{"PUT", control.PathPrefixes, "Bearer wrong", `{"prefixes":[]}`, 401},
		{"PUT", control.PathPrefixes, "Basic YTpi", `{"prefixes":[]}`, 401},
		{"PUT", control.PathPrefixes, "Bearer " + strings.Repeat("x", 5000), `{"prefixes":[]}`, 401},
		{"PUT", control.PathPrefixes, "Bearer " + reg.Session.Token, `{"prefixes":["10.0.0.1/8"]}`, 400},
		{"PUT", control.PathPrefixes, "Bearer " + reg.Session.Token, `{"prefixes":["x"]}`, 422},
		{"PUT", control.PathPrefixes, "Bearer " + reg.Session.Token, `{"prefixes":["::ffff:10.0.0.0/104"]}`, 400},
		{"PUT", control.PathPrefixes, "Bearer " + reg.Session.Token, `{"prefixes":[""]}`, 400},
		{"PUT", control.PathPrefixes, "Bearer " + reg.Session.Token, `{"prefixes":[` + strings.Repeat(`"10.0.0.0/24",`, 300) + `"10.0.1.0/24"]}`, 400},
		{"PUT", control.PathEndpoints, "Bearer " + reg.Session.Token, `{"listen_port":70000}`, 422},
		{"PUT", control.PathEndpoints, "Bearer " + reg.Session.Token, `{"endpoints":[""]}`, 400},
		{"GET", control.PathWatch, "", "", 401},
		{"GET", control.PathWatch + "?have=x", "Bearer " + reg.Session.Token, "", 400},
		{"GET", control.PathWatch + "?have=e:-1", "Bearer " + reg.Session.Token, "", 400},
		{"DELETE", control.PathNode, "", "", 401},
		{"GET", control.PathChallenge, "", "", 404},
		{"BREW", "/v1/../etc/passwd", "", "", 404},
		{"GET", "/v2/watch", "", "", 404},
	} {
		req, err := http.NewRequest(tt.method, r.url.Base()+tt.path, strings.NewReader(tt.body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", control.TypeJSON)
		if tt.auth != "" {
			req.Header.Set("Authorization", tt.auth)
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Errorf("%s %s: %v", tt.method, tt.path, err)
			continue
		}
		out := bodyOf(t, resp)
		p, ok := control.ParseProblem(out)
		if resp.StatusCode != tt.status || !ok || resp.Header.Get("Content-Type") != control.TypeProblem || p.Kind == "internal" || len(out) > 3000 {
			t.Errorf("%s %s %.60s: %d %s %.300s, want %d", tt.method, tt.path, tt.body, resp.StatusCode, resp.Header.Get("Content-Type"), out, tt.status)
		}
	}
	if _, err := n.client.About(t.Context()); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

func TestUnknownFieldsPass(t *testing.T) {
	w := newWorld(t)
	r := w.start()
	key, _ := mesh.NewPrivateKey()
	c := rawCaller{t, key, insecureHTTP(t)}
	body := []byte(fmt.Sprintf(`{"public_key":%q,"server_pin":%q,"reg_key":%q,"from_the_future":{"a":[1]}}`, key.Public(), w.pin, w.boot.KeySecret))
	if status, out := c.answer(r.url, c.challenge(r.url), control.PathRegister, body, body); status != 200 {
		t.Errorf("%d %s", status, out)
	}
}

func TestHugeHeaderAndSlowRequest(t *testing.T) {
	w := newWorld(t)
	r := w.start()
	conn, err := tls.Dial("tcp", r.url.Host, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "GET /v1/health HTTP/1.1\r\nHost: x\r\nX-Big: %s\r\n\r\n", strings.Repeat("x", 64<<10))
	line := make([]byte, 32)
	conn.SetReadDeadline(time.Now().Add(5 * time.Second))
	n, _ := conn.Read(line)
	if got := string(line[:n]); !strings.Contains(got, " 431 ") {
		t.Errorf("huge header: %q", got)
	}
}

func TestForwardedForCountsFromTrustedProxiesOnly(t *testing.T) {
	w := newWorld(t)
	trusted := w.start(func(c *service.Config, _ *store.Options) {
		c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	})
	plain := w.start()
	for _, tt := range []struct {
		name, header string
		r            *replica
		want         string
	}{
		{"not trusted", "203.0.113.9", plain, "127.0.0.1:4242"},
		{"trusted", "198.51.100.1, 203.0.113.9", trusted, "203.0.113.9:4242"},
		{"trusted chain", "203.0.113.9, 127.0.0.5", trusted, "203.0.113.9:4242"},
		{"trusted garbage", "203.0.113.9, nonsense", trusted, "127.0.0.1:4242"},
		{"trusted without header", "", trusted, "127.0.0.1:4242"},
	} {
		n := tt.r.node(t)
		reg := n.mustRegister(w.boot.KeySecret, "a")
		req, _ := http.NewRequest(http.MethodPut, tt.r.url.Base()+control.PathEndpoints, strings.NewReader(`{"listen_port":4242,"endpoints":[]}`))
		req.Header.Set("Authorization", "Bearer "+reg.Session.Token)
		req.Header.Set("Content-Type", control.TypeJSON)
		if tt.header != "" {
			req.Header.Set("X-Forwarded-For", tt.header)
		}
		resp, err := insecureHTTP(t).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		if out := string(bodyOf(t, resp)); !strings.Contains(out, `["`+tt.want+`"]`) {
			t.Errorf("%s: %s, want %s", tt.name, out, tt.want)
		}
	}
}

func TestFloodFromOneAddressIsRefused(t *testing.T) {
	if testing.Short() {
		t.Skip("long")
	}
	w := newWorld(t)
	frozen := time.Now()
	r := w.start(func(c *service.Config, _ *store.Options) {
		c.Certificate, c.Now = nil, func() time.Time { return frozen }
	})
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	refused := 0
	for range 6050 {
		resp, err := client.Post(r.url.Base()+control.PathChallenge, control.TypeJSON, strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		out := bodyOf(t, resp)
		if resp.StatusCode == http.StatusTooManyRequests {
			refused++
			if p := problemIn(t, out); p.Kind != "exhausted" || resp.Header.Get("Retry-After") == "" {
				t.Fatalf("refused with %s %v", out, resp.Header)
			}
		}
	}
	if refused != 50 {
		t.Errorf("%d of 6,050 calls refused", refused)
	}
	if resp, err := client.Get(r.url.Base() + control.PathHealth); err != nil || resp.StatusCode != 200 {
		t.Errorf("calls that need no limit: %v", err)
	} else {
		resp.Body.Close()
	}
}

func TestPlainHTTP(t *testing.T) {
	w := newWorld(t)
	r := w.start(func(c *service.Config, _ *store.Options) { c.Certificate = nil })
	n := r.node(t)
	n.mustRegister(w.boot.KeySecret, "a")
	n.watch(nil).until("a map", hasSelf)
}

func TestOpenAPI(t *testing.T) {
	w := newWorld(t)
	r := w.start()
	resp, err := insecureHTTP(t).Get(r.url.Base() + "/openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		OpenAPI string                    `json:"openapi"`
		Paths   map[string]map[string]any `json:"paths"`
	}
	if err := json.Unmarshal(bodyOf(t, resp), &doc); err != nil || !strings.HasPrefix(doc.OpenAPI, "3.1") {
		t.Fatalf("%v %v", doc.OpenAPI, err)
	}
	for _, p := range []string{control.PathChallenge, control.PathRegister, control.PathSession, control.PathWatch, control.PathPrefixes,
		control.PathEndpoints, control.PathNode, control.PathHealth} {
		if len(doc.Paths[p]) == 0 {
			t.Errorf("%s is not described", p)
		}
	}
}

func TestServeOnATakenListener(t *testing.T) {
	w := newWorld(t)
	st, err := store.Open(t.Context(), w.db, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	svc, err := service.New(t.Context(), service.Config{Store: st})
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
	if err := svc.Serve(t.Context(), ln); err == nil {
		t.Error("serving on a closed listener ends without an error")
	}
}
