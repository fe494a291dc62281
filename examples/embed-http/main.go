// Embed-http is a web server on the mesh. It shows the page of a container behind another
// node, and says which node asked.
//
//	export NEXD_SERVICE_URL=https://mesh.example.org:8443 NEXD_REG_KEY=…
//	go run ./examples/embed-http http://172.24.0.10/
//
// Then any node of the organization opens http://web/, such as by its proxy:
//
//	curl -x socks5h://127.0.0.1:1080 http://web/
//
// The program needs no privilege, opens no port on its host but WireGuard's, and leaves
// nothing behind: its state is in memory only.
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/netip"
	"os"
	"os/signal"

	"golang.org/x/sync/errgroup"

	"nexd/node"
)

func main() {
	if len(os.Args) != 2 {
		log.Fatal("usage: embed-http URL-OF-A-CONTAINER")
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	err := run(ctx, node.Config{
		ServiceURL: os.Getenv("NEXD_SERVICE_URL"), RegKey: os.Getenv("NEXD_REG_KEY"), Hostname: "web", Mode: node.Userspace,
	}, os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
}

// run joins the mesh and serves until ctx ends.
func run(ctx context.Context, cfg node.Config, target string) error {
	n, err := node.New(cfg)
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return n.Run(ctx) })
	g.Go(func() error { return serve(ctx, n, target) })
	return g.Wait()
}

func serve(ctx context.Context, n *node.Node, target string) error {
	select {
	case <-n.Ready():
	case <-ctx.Done():
		return nil
	}
	ln, err := n.Listen("tcp", ":80")
	if err != nil {
		return err
	}
	server := &http.Server{Handler: page(n, target)}
	defer context.AfterFunc(ctx, func() { server.Close() })()
	if err := server.Serve(ln); err != http.ErrServerClosed {
		return err
	}
	return nil
}

// page fetches target through the mesh for each request.
func page(n *node.Node, target string) http.Handler {
	mesh := &http.Client{Transport: &http.Transport{DialContext: n.DialContext, DisableKeepAlives: true}}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		caller, err := n.WhoIs(netip.MustParseAddrPort(r.RemoteAddr).Addr())
		if err != nil {
			http.Error(w, err.Error(), http.StatusForbidden)
			return
		}
		ask, err := http.NewRequestWithContext(r.Context(), http.MethodGet, target, nil)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		resp, err := mesh.Do(ask)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		defer resp.Body.Close()
		fmt.Fprintf(w, "hello %s, the container says: ", caller.Name)
		io.Copy(w, resp.Body)
	})
}
