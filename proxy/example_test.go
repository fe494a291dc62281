package proxy_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"

	"nexd/mesh"
	"nexd/proxy"
)

// A program fetches a web page of the mesh by name, through a dialer that knows one name.
func Example() {
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "hello from %s", r.Host)
	}))
	defer page.Close()

	p, err := proxy.New(proxy.Config{
		Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			if address != "node1:80" {
				return nil, mesh.Errorf(mesh.NotFound, "no node has the address %s", address)
			}
			return new(net.Dialer).DialContext(ctx, network, page.Listener.Addr().String())
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- p.Serve(ctx, ln) }()

	for _, scheme := range []string{"socks5h", "http"} {
		through := &url.URL{Scheme: scheme, Host: ln.Addr().String()}
		client := &http.Client{Transport: &http.Transport{Proxy: http.ProxyURL(through), DisableKeepAlives: true}}
		for _, target := range []string{"http://node1/", "http://node2/"} {
			res, err := client.Get(target)
			if err != nil {
				fmt.Println(scheme, "no answer from", target)
				continue
			}
			body, _ := io.ReadAll(res.Body)
			res.Body.Close()
			fmt.Println(scheme, res.StatusCode, string(body[:min(len(body), 16)]))
		}
	}
	stop()
	fmt.Println(<-done)
	// Output:
	// socks5h 200 hello from node1
	// socks5h no answer from http://node2/
	// http 200 hello from node1
	// http 502 nexd proxy
	//
	// Cann
	// <nil>
}
