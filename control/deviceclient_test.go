package control_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"nexd/control"
	"nexd/mesh"
)

// loginService is a fake of the wire that answers one device login.
type loginService struct {
	login   control.DeviceLogin
	answers []error // to the polls, in turn; nil approves; the last one stays
	polls   []time.Time
	asked   control.DeviceLoginRequest
	polled  control.DeviceTokenRequest
	proofs  int
}

func (f *loginService) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	say := func(v any) {
		w.Header().Set("Content-Type", control.TypeJSON)
		json.NewEncoder(w).Encode(v)
	}
	if r.Header.Get(control.HeaderProof) != "" {
		f.proofs++
	}
	switch r.URL.Path {
	case control.PathChallenge:
		say(control.Challenge{ServiceKey: mesh.Key{9}})
	case control.PathDeviceLogin:
		json.NewDecoder(r.Body).Decode(&f.asked)
		say(f.login)
	case control.PathDeviceToken:
		json.NewDecoder(r.Body).Decode(&f.polled)
		f.polls = append(f.polls, time.Now())
		err := f.answers[min(len(f.polls), len(f.answers))-1]
		if err == nil {
			say(control.DeviceToken{Organization: "default"})
			return
		}
		p := control.ProblemOf(err)
		w.Header().Set("Content-Type", control.TypeProblem)
		w.WriteHeader(p.Status)
		json.NewEncoder(w).Encode(p)
	}
}

// inMemory serves h over pipes, so that time can be a bubble's.
func inMemory(t *testing.T, h http.Handler) func(*control.Config) {
	ln := &pipeListener{conns: make(chan net.Conn), done: make(chan struct{})}
	srv := &http.Server{Handler: h}
	go srv.Serve(ln)
	t.Cleanup(func() { srv.Close() })
	return func(c *control.Config) {
		c.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			near, far := net.Pipe()
			select {
			case ln.conns <- far:
				return near, nil
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
	}
}

type pipeListener struct {
	conns chan net.Conn
	done  chan struct{}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}
func (l *pipeListener) Close() error   { close(l.done); return nil }
func (l *pipeListener) Addr() net.Addr { return &net.TCPAddr{} }

func good() control.DeviceLogin {
	return control.DeviceLogin{DeviceCode: "secret", UserCode: "WDJB-MJHT", VerificationURI: "/device", ExpiresIn: 60, Interval: 5}
}

func said(kind mesh.Kind, reason string) error {
	return control.Errorf(kind, reason, "people: %s", reason)
}

func TestDeviceLoginIsPolledAsTheStandardSays(t *testing.T) {
	pending := said(mesh.Unavailable, control.ReasonPending)
	slow := said(mesh.Unavailable, control.ReasonSlowDown)
	for _, tt := range []struct {
		name    string
		answers []error
		polls   []int  // seconds after the start
		reason  string // of the error; "-" for none
	}{
		{"at once", []error{nil}, []int{5}, "-"},
		{"later", []error{pending, pending, nil}, []int{5, 10, 15}, "-"},
		{"slower each time it is told so", []error{pending, slow, slow, pending, nil}, []int{5, 10, 20, 35, 50}, "-"},
		{"no", []error{pending, said(mesh.Denied, control.ReasonAccessDenied)}, []int{5, 10}, control.ReasonAccessDenied},
		{"expired there", []error{said(mesh.Denied, control.ReasonExpiredToken)}, []int{5}, control.ReasonExpiredToken},
		{"expired here", []error{slow, slow, slow, pending}, []int{5, 15, 30, 50, 60}, control.ReasonExpiredToken},
		{"another error ends it", []error{said(mesh.Invalid, "")}, []int{5}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &loginService{login: good(), answers: tt.answers}
				c := clientOf(t, "http://mesh.example", inMemory(t, f))
				start := time.Now()
				got, err := c.PollDeviceLogin(t.Context(), f.login)
				var at []int
				for _, p := range f.polls {
					at = append(at, int(p.Sub(start).Seconds()))
				}
				if !slices.Equal(at, tt.polls) {
					t.Errorf("polls after %v s, want %v", at, tt.polls)
				}
				if tt.reason == "-" {
					if err != nil || got.Organization != "default" || f.polled.DeviceCode != "secret" || f.proofs != len(at) {
						t.Errorf("%+v, %v; asked with %+v and %d proofs", got, err, f.polled, f.proofs)
					}
				} else if err == nil || control.ReasonOf(err) != tt.reason {
					t.Errorf("error %v with reason %q, want %q", err, control.ReasonOf(err), tt.reason)
				}
			})
		})
	}
}

func TestDeviceLoginOutlivesAServiceThatIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		away := said(mesh.Unavailable, "")
		f := &loginService{login: good(), answers: []error{away, said(mesh.Internal, ""), said(mesh.Exhausted, ""), nil}}
		c := clientOf(t, "http://mesh.example", inMemory(t, f))
		if got, err := c.PollDeviceLogin(t.Context(), f.login); err != nil || got.Organization != "default" {
			t.Errorf("%+v, %v", got, err)
		}
		f.polls, f.answers = nil, []error{away}
		_, err := c.PollDeviceLogin(t.Context(), f.login)
		if control.ReasonOf(err) != control.ReasonExpiredToken || !strings.Contains(err.Error(), "could not be reached") {
			t.Errorf("never answered: %v", err)
		}
	})
}

func TestDeviceLoginEndsAtOnceWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &loginService{login: good(), answers: []error{said(mesh.Unavailable, control.ReasonPending)}}
		c := clientOf(t, "http://mesh.example", inMemory(t, f))
		ctx, cancel := context.WithTimeout(t.Context(), 7*time.Second)
		defer cancel()
		start := time.Now()
		if _, err := c.PollDeviceLogin(ctx, f.login); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 7*time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
	})
}

func TestStartDeviceLogin(t *testing.T) {
	f := &loginService{login: good()}
	s := httptest.NewServer(f)
	defer s.Close()
	c := clientOf(t, s.URL+"/mesh", func(c *control.Config) {
		c.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, s.Listener.Addr().String())
		}
	})
	s.Config.Handler = http.StripPrefix("/mesh", f)
	ask := control.DeviceLoginRequest{Hostname: "laptop", Prefixes: []netip.Prefix{netip.MustParsePrefix("172.24.0.0/24")}}
	d, err := c.StartDeviceLogin(t.Context(), ask)
	if err != nil {
		t.Fatal(err)
	}
	if want := s.URL + "/mesh/device"; d.VerificationURI != want || d.VerificationURIComplete != want+"?user_code=WDJB-MJHT" || d.Life() != time.Minute {
		t.Errorf("login %#v: link %s, %s, life %v", d, d.VerificationURI, d.VerificationURIComplete, d.Life())
	}
	if f.asked.Hostname != "laptop" || f.asked.PublicKey.IsZero() || len(f.asked.Prefixes) != 1 || f.proofs != 1 {
		t.Errorf("asked %+v with %d proofs", f.asked, f.proofs)
	}
	for _, shown := range []string{fmt.Sprint(d), fmt.Sprintf("%+v", d), fmt.Sprintf("%#v", d)} {
		if strings.Contains(shown, "secret") {
			t.Errorf("%q shows the device code", shown)
		}
	}
}

func TestALoginThatCannotBeShownIsRefused(t *testing.T) {
	for name, spoil := range map[string]func(*control.DeviceLogin){
		"no device code": func(d *control.DeviceLogin) { d.DeviceCode = "" },
		"no user code":   func(d *control.DeviceLogin) { d.UserCode = "" },
		"escape":         func(d *control.DeviceLogin) { d.UserCode = "\x1b[2J" },
		"long code":      func(d *control.DeviceLogin) { d.UserCode = strings.Repeat("A", 33) },
		"no life":        func(d *control.DeviceLogin) { d.ExpiresIn = 0 },
		"no link":        func(d *control.DeviceLogin) { d.VerificationURI = "" },
		"script":         func(d *control.DeviceLogin) { d.VerificationURI = "javascript:alert(1)" },
		"other scheme":   func(d *control.DeviceLogin) { d.VerificationURIComplete = "ftp://mesh.example/device" },
		"no scheme":      func(d *control.DeviceLogin) { d.VerificationURI = "//evil.example/device" },
		"user in it":     func(d *control.DeviceLogin) { d.VerificationURI = "https://mesh.example@evil.example/" },
		"new line":       func(d *control.DeviceLogin) { d.VerificationURIComplete = "https://mesh.example/\ndevice" },
		"not ASCII":      func(d *control.DeviceLogin) { d.VerificationURI = "https://mesh.example/devi\u202ece" },
	} {
		f := &loginService{login: good()}
		spoil(&f.login)
		s := httptest.NewServer(f)
		d, err := clientOf(t, s.URL, nil).StartDeviceLogin(t.Context(), control.DeviceLoginRequest{})
		s.Close()
		if mesh.KindOf(err) != mesh.Invalid || d.DeviceCode != "" {
			t.Errorf("%s: %v, %v", name, d, err)
		}
	}
	now := time.Now()
	cert, _ := certificate(t, now.Add(-time.Hour), now.Add(time.Hour))
	s := tlsServer(t, cert)
	f := &loginService{login: good()}
	f.login.VerificationURI = "http://mesh.example/device"
	s.Config.Handler = f
	_, err := clientOf(t, s.URL+"/#pin="+control.PinOf(cert.Leaf).String(), nil).StartDeviceLogin(t.Context(), control.DeviceLoginRequest{})
	oneLiner(t, err, mesh.Invalid, s.URL, "http://", "--public-url")
}

func TestFingerprint(t *testing.T) {
	if got, want := control.Fingerprint(mesh.Key{}), "6668 7aad f862 bd77 6c8f"; got != want {
		t.Errorf("Fingerprint = %q, want %q", got, want)
	}
}
