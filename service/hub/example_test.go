package hub_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"nexd/mesh"
	"nexd/service/hub"
	"nexd/service/store"
)

// A page that shows an organization hears of each change as it is committed.
func ExampleHub_Subscribe() {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	dir, _ := os.MkdirTemp("", "nexd-example")
	defer os.RemoveAll(dir)
	commits := hub.NewNotifier()
	st, _ := store.Open(ctx, filepath.Join(dir, "nexd.db"), store.Options{Create: true, OnCommit: commits.Notify})
	defer st.Close()
	boot, _ := st.Bootstrap(ctx, store.BootstrapParams{Email: "ada@example.com", PasswordHash: "-", TLSCert: []byte("-"), TLSKey: []byte("-"), Key: &store.KeyParams{}})
	h, _ := hub.New(hub.Config{Store: st, Notifier: commits})
	done := make(chan struct{})
	go func() { defer close(done); h.Run(ctx) }()

	s := h.Subscribe(boot.Organization.ID)
	defer s.Close()
	reg, _ := st.Register(ctx, store.Registration{RegistrationKey: boot.KeySecret, Key: mesh.Key{1}, Hostname: "laptop"})
	for {
		f, changed := s.Frame()
		if f != nil && f.Has(reg.Node.ID) {
			fmt.Println("the page shows", reg.Node.Name)
			break
		}
		<-changed
	}
	stop()
	<-done
	// Output: the page shows laptop
}
