package service_test

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"nexd/control"
	"nexd/mesh"
	"nexd/service"
	"nexd/service/hub"
	"nexd/service/store"
)

// A service over a fresh database, and a node that registers and reads its map.
func Example() {
	dir, _ := os.MkdirTemp("", "nexd-example")
	defer os.RemoveAll(dir)
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()

	commits := hub.NewNotifier()
	st, _ := store.Open(ctx, filepath.Join(dir, "nexd.db"), store.Options{Create: true, OnCommit: commits.Notify})
	defer st.Close()
	certPEM, keyPEM, _ := service.NewTLSKey(time.Now())
	boot, _ := st.Bootstrap(ctx, store.BootstrapParams{
		Email: "ada@example.com", PasswordHash: "-", TLSCert: certPEM, TLSKey: keyPEM, Key: &store.KeyParams{Uses: 1},
	})
	cert, pin, _ := service.LoadTLS(certPEM, keyPEM)
	watchers, _ := hub.New(hub.Config{Store: st, Notifier: commits})
	svc, _ := service.New(ctx, service.Config{Store: st, Hub: watchers, Certificate: &cert})
	ln, _ := net.Listen("tcp", "127.0.0.1:0")
	serving, stop := context.WithCancel(ctx)
	done := make(chan error)
	go func() { done <- svc.Serve(serving, ln) }()

	key, _ := mesh.NewPrivateKey()
	node, _ := control.NewClient(control.Config{URL: control.JoinURL{Scheme: "https", Host: ln.Addr().String(), Pin: pin}, Key: key})
	reg, err := node.Register(ctx, control.Registration{
		RegKey: boot.KeySecret, Hostname: "node1", Prefixes: []netip.Prefix{netip.MustParsePrefix("172.24.0.0/24")},
	})
	fmt.Println(reg.Node.Name, reg.Node.Addresses[0], reg.Node.Prefixes, err)
	watching, enough := context.WithCancel(ctx)
	err = node.Watch(watching, mesh.Version{}, func(e control.Event) error {
		fmt.Println(e.Type)
		if e.Type == control.EventLive {
			enough()
		}
		return nil
	})
	node.Close()
	stop()
	fmt.Println(err, <-done)
	// Output:
	// node1 100.64.0.1 [172.24.0.0/24] <nil>
	// map
	// live
	// <nil> <nil>
}
