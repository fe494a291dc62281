package netcheck_test

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"nexd/control"
	"nexd/internal/leak"
	wire "nexd/internal/stun"
	"nexd/mesh"
	"nexd/netcheck"
	"nexd/service"
	"nexd/service/relayserver"
	"nexd/service/store"
	"nexd/service/stun"
)

// realService is a service with relay and STUN on loopback, and a node that has joined.
type realService struct {
	url control.JoinURL // with the pin
	key mesh.PrivateKey
}

func startService(t *testing.T) realService {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var tasks sync.WaitGroup
	t.Cleanup(func() { cancel(); tasks.Wait() })
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	st, err := store.Open(ctx, filepath.Join(t.TempDir(), "nexd.db"), store.Options{Create: true})
	must(err)
	certPEM, keyPEM, err := service.NewTLSKey(time.Now())
	must(err)
	boot, err := st.Bootstrap(ctx, store.BootstrapParams{Email: "ada@example.org", PasswordHash: "-", TLSCert: certPEM, TLSKey: keyPEM, Key: &store.KeyParams{}})
	must(err)
	cert, pin, err := service.LoadTLS(certPEM, keyPEM)
	must(err)
	meta, err := st.Meta(ctx)
	must(err)
	relayKey, err := control.RelayKey(meta.Secret)
	must(err)
	relay, err := relayserver.New(relayserver.Config{TokenKey: relayKey})
	must(err)
	told, answers := service.Relay{Handler: relay}, stun.New(stun.Config{})
	for range 2 {
		sock, err := stun.Listen("127.0.0.1:0")
		must(err)
		k := answers.On(sock)
		tasks.Go(func() { relay.ServeUDP(ctx, sock.UDPConn, k.Answer) })
		told.STUN = append(told.STUN, sock.LocalAddr().String())
	}
	told.UDP = told.STUN[:1]
	svc, err := service.New(ctx, service.Config{Store: st, Certificate: &cert, Relay: told})
	must(err)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	tasks.Go(func() { relay.Run(ctx) })
	tasks.Go(func() { svc.Serve(ctx, ln); st.Close() })

	r := realService{url: control.JoinURL{Scheme: "https", Host: ln.Addr().String(), Pin: pin}}
	r.key, err = mesh.NewPrivateKey()
	must(err)
	c, err := control.NewClient(control.Config{URL: r.url, Key: r.key})
	must(err)
	defer c.Close()
	reg, err := control.ParseRegKey(boot.KeySecret)
	must(err)
	_, err = c.Register(ctx, control.Registration{RegKey: reg.Secret(), Hostname: "ada"})
	must(err)
	return r
}

// direct ignores a proxy in the tester's environment.
func direct(*http.Request) (*url.URL, error) { return nil, nil }

func TestAgainstARealService(t *testing.T) {
	leak.Check(t)
	s := startService(t)
	t.Run("as a node", func(t *testing.T) {
		r, err := netcheck.Run(t.Context(), netcheck.Config{URL: s.url, Key: s.key, Proxy: direct, Limit: time.Minute})
		if err != nil || !r.Works || r.Service.Trust != "pin" || r.Service.RTT == 0 || r.Service.TLS == 0 || r.Service.Skew == nil {
			t.Errorf("%+v, %v", r, err)
		}
		if r.Relay.State != netcheck.RelayConnected || r.Relay.RTT == 0 || r.Relay.Connect == 0 || r.Relay.UDP != netcheck.Passes {
			t.Errorf("relay %+v", r.Relay)
		}
		if r.UDP != netcheck.Passes || r.IPv4.Mapping != wire.NoMapping || r.IPv4.Filtering != netcheck.PortlessFiltering || r.IPv4.Hairpin != netcheck.Absent {
			t.Errorf("IPv4 %+v", r.IPv4)
		}
	})
	t.Run("as a stranger", func(t *testing.T) {
		for _, key := range []mesh.PrivateKey{{}, newKey(t)} {
			r, err := netcheck.Run(t.Context(), netcheck.Config{URL: s.url, Key: key, Proxy: direct, Limit: time.Minute})
			if err != nil || !r.Works || r.Relay.State != netcheck.RelayNotAsked || r.Relay.Why == "" || r.Relay.RTT == 0 {
				t.Errorf("%+v, %v", r.Relay, err)
			}
		}
	})
	t.Run("beside a node", func(t *testing.T) {
		relay := &netcheck.Relay{State: netcheck.RelayConnected, RTT: 4711, UDP: netcheck.Passes}
		r, err := netcheck.Run(t.Context(), netcheck.Config{URL: s.url, Key: s.key, Relay: relay, Proxy: direct, Limit: time.Minute})
		if err != nil || r.Relay != *relay {
			t.Errorf("relay %+v, %v", r.Relay, err)
		}
	})
	t.Run("another key than the pinned one", func(t *testing.T) {
		wrong := s.url
		wrong.Pin[0] ^= 1
		r, err := netcheck.Run(t.Context(), netcheck.Config{URL: wrong, Key: s.key, Proxy: direct})
		if err != nil || r.Works || r.Service.Reachable || r.Service.Found == nil || r.Service.Found.Pin != s.url.Pin.String() || r.UDPWhy == "" {
			t.Errorf("%+v, %v", r, err)
		}
		if r.Relay.State != netcheck.RelayFailed || r.Relay.RTT != 0 {
			t.Errorf("the relay was asked: %+v", r.Relay)
		}
	})
}

func newKey(t *testing.T) mesh.PrivateKey {
	t.Helper()
	k, err := mesh.NewPrivateKey()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestWhatStandsInFrontOfAService(t *testing.T) {
	leak.Check(t)
	portal := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://login.example/", http.StatusFound)
	}))
	defer portal.Close()
	opened := httptest.NewUnstartedServer(http.NotFoundHandler())
	opened.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	opened.StartTLS()
	defer opened.Close()
	check := func(raw string, proxy func(*http.Request) (*url.URL, error)) netcheck.Report {
		t.Helper()
		at, err := control.ParseJoinURL(raw)
		if err != nil {
			t.Fatal(err)
		}
		r, err := netcheck.Run(t.Context(), netcheck.Config{URL: at, Insecure: true, Proxy: proxy})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	if r := check(portal.URL, direct); r.Works || r.Service.Trust != "none" || !strings.Contains(r.Service.Error, "redirects") || r.Service.Reason != control.BarrierCaptive || !strings.Contains(r.Verdict, "login page") {
		t.Errorf("a login page: %+v", r.Service)
	}
	if r := check(opened.URL, direct); r.Works || r.Service.Found == nil || r.Service.Found.Issuer == "" {
		t.Errorf("TLS of somebody else: %+v", r.Service)
	}
	through, err := url.Parse("http://ada:secret@127.0.0.1:1")
	if err != nil {
		t.Fatal(err)
	}
	r := check("https://mesh.example:8443", func(*http.Request) (*url.URL, error) { return through, nil })
	if r.Works || !strings.HasPrefix(r.Service.Proxy, "http://ada:") || strings.Contains(r.Service.Proxy, "secret") || !strings.Contains(r.Service.Error, "proxy") || r.Service.Reason != control.BarrierProxy {
		t.Errorf("a proxy that is away: %+v", r.Service)
	}
	for _, l := range r.Lines() {
		if strings.Contains(l.Found+l.Means, "secret") {
			t.Errorf("the password is shown: %+v", l)
		}
	}
}
