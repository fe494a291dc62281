package envproxy_test

import (
	"errors"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"testing"

	"nexd/internal/envproxy"
)

func TestNot(t *testing.T) {
	name, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		own   []string
		proxy string
		is    bool // the own one
	}{
		{[]string{"127.0.0.1:1080"}, "http://127.0.0.1:1080", true},
		{[]string{"127.0.0.1:1080"}, "http://user:secret@127.0.0.1:1080/", true},
		{[]string{"127.0.0.1:1080"}, "socks5h://127.0.0.1:1080", true},
		{[]string{"127.0.0.1:1080"}, "socks5://127.0.0.1", true},
		{[]string{"127.0.0.1:80"}, "http://127.0.0.1", true},
		{[]string{"127.0.0.1:443"}, "https://localhost", true},
		{[]string{"127.0.0.1:1080"}, "http://LOCALHOST.:1080", true},
		{[]string{"127.0.0.1:1080"}, "http://nexd.localhost:1080", true},
		{[]string{"127.0.0.1:1080"}, "http://0.0.0.0:1080", true},
		{[]string{"[::1]:1080"}, "http://localhost:1080", true},
		{[]string{"[::1]:1080"}, "http://[0:0::1]:1080", true},
		{[]string{"127.0.0.1:1080"}, "http://[::ffff:127.0.0.1]:1080", true},
		{[]string{"0.0.0.0:1080"}, "http://127.0.0.1:1080", true},
		{[]string{"[::]:1080"}, "http://127.0.0.1:1080", true},
		{[]string{"0.0.0.0:1080"}, "http://" + name + ":1080", true},
		{[]string{"unix:/run/p", "127.0.0.1:99", "127.0.0.1:1080"}, "http://127.0.0.1:1080", true},

		{[]string{"127.0.0.1:1080"}, "http://127.0.0.1:3128", false},
		{[]string{"127.0.0.1:1080"}, "http://127.0.0.1", false},
		{[]string{"127.0.0.2:1080"}, "http://127.0.0.1:1080", false},
		{[]string{"0.0.0.0:1080"}, "http://192.0.2.1:1080", false},
		{[]string{"0.0.0.0:1080"}, "http://proxy.example.org:1080", false},
		{[]string{"192.0.2.1:1080"}, "http://localhost:1080", false},
		{[]string{"unix:/run/p"}, "http://127.0.0.1:1080", false},
		{nil, "http://127.0.0.1:1080", false},
	} {
		proxy, err := url.Parse(tt.proxy)
		if err != nil {
			t.Fatal(err)
		}
		var passed []*url.URL
		f := envproxy.Not(func() []string { return tt.own }, http.ProxyURL(proxy), func(u *url.URL) { passed = append(passed, u) })
		got, err := f(&http.Request{URL: &url.URL{Scheme: "https", Host: "service.example.org"}})
		switch {
		case err != nil:
			t.Error(err)
		case tt.is && (got != nil || !slices.Equal(passed, []*url.URL{proxy})):
			t.Errorf("%v, %s: %v, passed by %v; it is its own", tt.own, tt.proxy, got, passed)
		case !tt.is && (got != proxy || passed != nil):
			t.Errorf("%v, %s: %v, passed by %v; it is another's", tt.own, tt.proxy, got, passed)
		}
	}
}

// A listener at all addresses is reached at each address of the host.
func TestAddressesOfThisHost(t *testing.T) {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range addrs {
		p, err := netip.ParsePrefix(i.String())
		if err != nil {
			continue
		}
		proxy := &url.URL{Scheme: "http", Host: netip.AddrPortFrom(p.Addr(), 1080).String()}
		f := envproxy.Not(func() []string { return []string{"0.0.0.0:1080"} }, http.ProxyURL(proxy), func(*url.URL) {})
		if got, err := f(new(http.Request)); got != nil || err != nil {
			t.Errorf("%v: %v, %v", proxy, got, err)
		}
	}
}

func TestNoProxyAndErrorsPass(t *testing.T) {
	never := func() []string { t.Error("asked for the listeners"); return nil }
	broken := errors.New("invalid proxy address")
	for _, want := range []error{nil, broken} {
		f := envproxy.Not(never, func(*http.Request) (*url.URL, error) { return nil, want }, func(*url.URL) { t.Error("passed by") })
		if u, err := f(new(http.Request)); u != nil || err != want {
			t.Errorf("%v, %v; want %v", u, err, want)
		}
	}
}
