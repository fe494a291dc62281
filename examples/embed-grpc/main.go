// Embed-grpc is a gRPC server on the mesh, and a client of another one: the health service of
// google.golang.org/grpc.
//
//	export NEXD_SERVICE_URL=https://mesh.example.org:8443 NEXD_REG_KEY=…
//	go run ./examples/embed-grpc one &       # serves on one:50051
//	go run ./examples/embed-grpc two one     # serves on two:50051, and asks one
//	one says SERVING
//
// The connection has no TLS of its own: WireGuard encrypts it and proves which node is at its
// other end.
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"os/signal"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"

	"nexd/node"
)

// port of the server on its mesh addresses.
const port = "50051"

func main() {
	if len(os.Args) < 2 || len(os.Args) > 3 {
		log.Fatal("usage: embed-grpc NAME [PEER]")
	}
	peer := ""
	if len(os.Args) == 3 {
		peer = os.Args[2]
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	err := run(ctx, node.Config{
		ServiceURL: os.Getenv("NEXD_SERVICE_URL"), RegKey: os.Getenv("NEXD_REG_KEY"), Hostname: os.Args[1], Mode: node.Userspace,
	}, peer, os.Stdout)
	if err != nil {
		log.Fatal(err)
	}
}

// run joins the mesh, asks peer if there is one, and serves until ctx ends.
func run(ctx context.Context, cfg node.Config, peer string, out io.Writer) error {
	n, err := node.New(cfg)
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return n.Run(ctx) })
	g.Go(func() error {
		select {
		case <-n.Ready():
		case <-ctx.Done():
			return nil
		}
		if peer != "" {
			g.Go(func() error { return ask(ctx, n, peer, out) })
		}
		return serve(ctx, n)
	})
	return g.Wait()
}

func serve(ctx context.Context, n *node.Node) error {
	ln, err := n.Listen("tcp", ":"+port)
	if err != nil {
		return err
	}
	server := grpc.NewServer()
	grpc_health_v1.RegisterHealthServer(server, health.NewServer())
	defer context.AfterFunc(ctx, server.Stop)()
	return server.Serve(ln)
}

// ask prints the health of the server on another node. It waits until the server is there.
func ask(ctx context.Context, n *node.Node, peer string, out io.Writer) error {
	conn, err := grpc.NewClient("passthrough:///"+net.JoinHostPort(peer, port), // the mesh resolves the name, not gRPC
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) { return n.DialContext(ctx, "tcp", address) }),
	)
	if err != nil {
		return err
	}
	defer conn.Close()
	reply, err := grpc_health_v1.NewHealthClient(conn).Check(ctx, &grpc_health_v1.HealthCheckRequest{}, grpc.WaitForReady(true))
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(out, peer, "says", reply.Status)
	return err
}
