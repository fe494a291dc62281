package node_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/netip"
	"os"

	"nexd/node"
)

// A program joins the mesh, serves HTTP on it and calls a container behind another node.
func Example() {
	n, err := node.New(node.Config{
		ServiceURL: "https://mesh.example.org:8443", RegKey: os.Getenv("NEXD_REG_KEY"), Hostname: "web", Mode: node.Userspace,
	})
	if err != nil {
		log.Fatal(err)
	}
	go func() { log.Fatal(n.Run(context.Background())) }()
	<-n.Ready()

	container := &http.Client{Transport: &http.Transport{DialContext: n.DialContext}}
	ln, err := n.Listen("tcp", ":80")
	if err != nil {
		log.Fatal(err)
	}
	log.Fatal(http.Serve(ln, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		resp, err := container.Get("http://172.24.0.10/")
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		defer resp.Body.Close()
		fmt.Fprintln(w, "the container says", resp.Status)
	})))
}

// WhoIs names the node behind the caller of a connection.
func ExampleNode_WhoIs() {
	var n *node.Node // from New
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		caller, err := n.WhoIs(netip.MustParseAddrPort(r.RemoteAddr).Addr())
		if err != nil {
			http.Error(w, err.Error(), http.StatusForbidden)
			return
		}
		fmt.Fprintln(w, "hello", caller.Name)
	})
}
