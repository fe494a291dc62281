// Embed-postgres asks a PostgreSQL server in a container behind another node, with pgx.
//
//	export NEXD_SERVICE_URL=https://mesh.example.org:8443 NEXD_REG_KEY=…
//	go run ./examples/embed-postgres postgres://ada:secret@172.24.0.10/shop
//	connected to shop as ada: PostgreSQL 17…
//
// The host of the database may also be a node's name: the mesh resolves it.
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"nexd/node"
)

func main() {
	if len(os.Args) != 2 {
		log.Fatal("usage: embed-postgres postgres://USER:PASSWORD@HOST/DATABASE")
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	err := run(ctx, node.Config{
		ServiceURL: os.Getenv("NEXD_SERVICE_URL"), RegKey: os.Getenv("NEXD_REG_KEY"), Hostname: "reporter", Mode: node.Userspace,
	}, os.Args[1], os.Stdout)
	if err != nil {
		log.Fatal(err)
	}
}

// run joins the mesh, asks the database once and leaves.
func run(ctx context.Context, cfg node.Config, dsn string, out io.Writer) error {
	n, err := node.New(cfg)
	if err != nil {
		return err
	}
	ctx, leave := context.WithCancel(ctx)
	defer leave()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return n.Run(ctx) })
	g.Go(func() error {
		defer leave()
		select {
		case <-n.Ready():
			return query(ctx, n, dsn, out)
		case <-ctx.Done():
			return nil
		}
	})
	return g.Wait()
}

func query(ctx context.Context, n *node.Node, dsn string, out io.Writer) error {
	cfg, err := pgx.ParseConfig(dsn)
	if err != nil {
		return err
	}
	cfg.DialFunc = n.DialContext
	cfg.LookupFunc = func(_ context.Context, host string) ([]string, error) { return []string{host}, nil } // DialFunc resolves
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	var database, user, version string
	if err := conn.QueryRow(ctx, "SELECT current_database(), current_user, version()").Scan(&database, &user, &version); err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "connected to %s as %s: %s\n", database, user, version)
	return err
}
