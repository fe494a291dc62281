package agent

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"nexd/control"
	"nexd/e2e/meshtest"
	"nexd/internal/eventually"
	"nexd/internal/leak"
	"nexd/internal/testmap"
	"nexd/node"
	"nexd/service/store"
)

// joinConfig is the configuration of an agent that joins s by its registration key.
func joinConfig(t *testing.T, s *meshtest.Service, name string) Config {
	return Config{
		Config: node.Config{
			ServiceURL: "https://" + s.Addr, RegKey: s.Key, Hostname: name, StateDir: shortDir(t), Logger: slog.New(slog.DiscardHandler),
		},
		ProxyListen: []string{"off"},
	}
}

func TestJoinRestartOutageAndRemoval(t *testing.T) {
	leak.Check(t)
	s := meshtest.New(t)
	s.Start()
	cfg := joinConfig(t, s, "Node One!")
	cfg.Advertise = testmap.Advertise(t, "172.24.0.0/24")
	first := run(t, cfg)
	st, err := first.client().Status(t.Context())
	if err != nil || st.Node.Name != "node-one" || st.Organization != "default" || len(st.Node.Prefixes) != 1 || !st.Service.Connected {
		t.Fatalf("status = %+v, %v", st, err)
	}
	first.stop()

	cfg.RegKey, cfg.ServiceURL = "", "" // both are in the state now
	again := run(t, cfg)
	if again.ready.Name != "node-one" || again.ready.Addresses[0] != first.ready.Addresses[0] {
		t.Errorf("came back as %+v", again.ready)
	}
	again.stop()

	s.Stop()
	away := run(t, cfg) // by the cached map
	st, err = away.client().Status(t.Context())
	if err != nil || st.State != "running" || st.Service.Connected || st.Service.Error == "" || st.Node.Name != "node-one" {
		t.Errorf("status without the service = %+v, %v", st, err)
	}
	s.Start()
	eventually.True(t, "the service is connected again", func() bool {
		st, err := away.client().Status(t.Context())
		return err == nil && st.Service.Connected
	})

	db, err := store.Open(t.Context(), s.DB, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.RemoveNode(t.Context(), s.Org, string(st.Node.ID)); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-away.done:
		away.cancel()
		away.cancel = nil
		if control.ReasonOf(err) != control.ReasonGone || !strings.Contains(err.Error(), "removed") {
			t.Errorf("a removed node ends with %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("a removed node goes on")
	}
}

func TestFirstJoinThatCannotWork(t *testing.T) {
	leak.Check(t)
	s := meshtest.New(t)
	s.Start()
	holder := joinConfig(t, s, "holder")
	holder.Advertise = testmap.Advertise(t, "172.24.0.0/24")
	run(t, holder)
	pin := strings.Repeat("ab", 32)
	for _, tt := range []struct {
		name  string
		tweak func(*Config)
		want  string
	}{
		{"no key", func(c *Config) {
			c.ServiceURL += "/#pin=" + c.RegKey[strings.LastIndex(c.RegKey, "_")+1:]
			c.RegKey = ""
		}, "registration key"},
		{"wrong pin", func(c *Config) { c.ServiceURL += "/#pin=" + pin; c.RegKey = "" }, "pin"},
		{"two pins", func(c *Config) { c.ServiceURL += "/#pin=" + pin }, "another"},
		{"conflict", func(c *Config) { c.Advertise = testmap.Advertise(t, "172.24.0.128/25") }, "holder"},
		{"a prefix nobody may have", func(c *Config) { c.Advertise = testmap.Advertise(t, "127.0.0.0/8") }, "127.0.0.0/8"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := joinConfig(t, s, "x")
			tt.tweak(&cfg)
			cfg.Mode, cfg.Socket = node.Userspace, filepath.Join(cfg.StateDir, "s")
			err := Run(t.Context(), cfg)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Run = %v, want an error with %q", err, tt.want)
			}
			if _, err := os.Stat(filepath.Join(cfg.StateDir, "map.json")); err == nil {
				t.Error("a network map was kept")
			}
		})
	}
}
