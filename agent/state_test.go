package agent

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nexd/control"
	"nexd/mesh"
)

func mustOpen(t *testing.T, dir string) *state {
	t.Helper()
	s, err := openState(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.close() })
	return s
}

func TestStateKeepsTheIdentity(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "deep", "state")
	s := mustOpen(t, dir)
	pub := s.key.Public()
	s.ListenPort, s.Service, s.Node = 41641, &control.JoinURL{Scheme: "https", Host: "mesh.example:8443"}, "n1"
	if err := s.save(); err != nil {
		t.Fatal(err)
	}
	s.close()
	again := mustOpen(t, dir)
	if again.key.Public() != pub || again.ListenPort != 41641 || again.Node != "n1" || *again.Service != *s.Service {
		t.Errorf("reopened as %v port %d node %q", again.key.Public(), again.ListenPort, again.Node)
	}
}

func TestStateIsPrivate(t *testing.T) {
	if !posixModes {
		t.Skip("no POSIX modes here")
	}
	dir := filepath.Join(t.TempDir(), "state")
	mustOpen(t, dir).close()
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(dir, identityFile), 0o644); err != nil {
		t.Fatal(err)
	}
	mustOpen(t, dir)
	for path, want := range map[string]os.FileMode{dir: 0o700, filepath.Join(dir, identityFile): 0o600} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s has mode %v, %v; want %v", path, info.Mode().Perm(), err, want)
		}
	}
}

func TestSecondInstanceIsRefused(t *testing.T) {
	dir := t.TempDir()
	first := mustOpen(t, dir)
	_, err := openState(dir)
	if mesh.KindOf(err) != mesh.Conflict || !strings.Contains(err.Error(), "--state-dir") {
		t.Fatalf("second instance: %v, want a Conflict that names --state-dir", err)
	}
	first.close()
	mustOpen(t, dir)
}

func TestDamagedStateNeverBecomesANewIdentity(t *testing.T) {
	for name, damage := range map[string]func(t *testing.T, file string){
		"empty":       func(t *testing.T, f string) { os.WriteFile(f, nil, 0o600) },
		"half":        func(t *testing.T, f string) { b, _ := os.ReadFile(f); os.WriteFile(f, b[:len(b)/2], 0o600) },
		"not json":    func(t *testing.T, f string) { os.WriteFile(f, []byte("hello"), 0o600) },
		"no key":      func(t *testing.T, f string) { os.WriteFile(f, []byte(`{"schema":1}`), 0o600) },
		"schema":      func(t *testing.T, f string) { os.WriteFile(f, []byte(`{"schema":99}`), 0o600) },
		"a directory": func(t *testing.T, f string) { os.Remove(f); os.Mkdir(f, 0o700) },
		"lost": func(t *testing.T, f string) {
			os.Remove(f)
			os.WriteFile(filepath.Join(filepath.Dir(f), mapFile), []byte("{}"), 0o600)
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			mustOpen(t, dir).close()
			file := filepath.Join(dir, identityFile)
			damage(t, file)
			if s, err := openState(dir); err == nil {
				s.close()
				t.Fatalf("damaged state was opened as %v", s.key.Public())
			}
			if _, err := openState(dir); err == nil || strings.Contains(err.Error(), "in use") {
				t.Errorf("after a failed open: %v; the lock must be free and the damage still told", err)
			}
		})
	}
}

func TestMapCache(t *testing.T) {
	s := mustOpen(t, t.TempDir())
	if m, err := s.loadMap(); m != nil || err != nil {
		t.Fatalf("fresh state has a map: %v, %v", m, err)
	}
	m := &mesh.NetworkMap{
		Version: mesh.Version{Epoch: "e", Rev: 3},
		Self:    mesh.Node{Key: s.key.Public(), Addresses: []netip.Addr{netip.MustParseAddr("100.64.0.1")}},
	}
	if err := s.saveMap(m); err != nil {
		t.Fatal(err)
	}
	got, err := s.loadMap()
	if err != nil || got.Version != m.Version || got.Self.Addresses[0] != m.Self.Addresses[0] {
		t.Fatalf("loadMap = %+v, %v", got, err)
	}
	m.Self.Key = mesh.Key{1}
	if err := s.saveMap(m); err != nil {
		t.Fatal(err)
	}
	if got, err := s.loadMap(); got != nil || err == nil {
		t.Errorf("a map of another key was taken: %+v", got)
	}
}

func TestAFailedWriteLeavesTheOldFile(t *testing.T) {
	s := mustOpen(t, t.TempDir())
	before, _ := os.ReadFile(s.path(identityFile))
	if err := s.write(identityFile, func() {}); err == nil {
		t.Fatal("a value that cannot be written was written")
	}
	after, _ := os.ReadFile(s.path(identityFile))
	if string(before) != string(after) || len(after) == 0 {
		t.Error("a failed write touched the file")
	}
	left, _ := filepath.Glob(filepath.Join(s.dir, ".*"))
	if len(left) != 0 {
		t.Errorf("temporary files left: %v", left)
	}
}

func TestForgetRemovesEverything(t *testing.T) {
	s := mustOpen(t, t.TempDir())
	old := s.key.Public()
	if err := s.saveSessions([]mesh.Key{{1}}); err != nil {
		t.Fatal(err)
	}
	if got := s.loadSessions(); len(got) != 1 {
		t.Fatalf("sessions = %v", got)
	}
	if err := s.forget(); err != nil {
		t.Fatal(err)
	}
	s.close()
	if s := mustOpen(t, s.dir); s.key.Public() == old {
		t.Error("the identity survived forget")
	}
}

func TestPublicKeyOfARunningNodeAndOfNone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	first, err := PublicKey(dir)
	if err != nil {
		t.Fatal(err)
	}
	s := mustOpen(t, dir) // holds the lock
	if again, err := PublicKey(dir); err != nil || again != first || s.key.Public() != first {
		t.Errorf("PublicKey = %v, %v; the node has %v", again, err, s.key.Public())
	}
}
