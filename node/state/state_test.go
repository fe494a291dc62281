package state

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nexd/control"
	"nexd/mesh"
)

func mustOpen(t *testing.T, dir string) *State {
	t.Helper()
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestStateKeepsTheIdentity(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "deep", "state")
	s := mustOpen(t, dir)
	pub := s.Key().Public()
	s.ListenPort, s.Service, s.Node = 41641, &control.JoinURL{Scheme: "https", Host: "mesh.example:8443"}, "n1"
	if err := s.Save(); err != nil {
		t.Fatal(err)
	}
	s.Close()
	again := mustOpen(t, dir)
	if again.Key().Public() != pub || again.ListenPort != 41641 || again.Node != "n1" || *again.Service != *s.Service {
		t.Errorf("reopened as %v port %d node %q", again.Key().Public(), again.ListenPort, again.Node)
	}
}

func TestStateIsPrivate(t *testing.T) {
	if !posixModes {
		t.Skip("no POSIX modes here")
	}
	dir := filepath.Join(t.TempDir(), "state")
	mustOpen(t, dir).Close()
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
	_, err := Open(dir)
	if mesh.KindOf(err) != mesh.Conflict || !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), dir) {
		t.Fatalf("second instance: %v, want a Conflict that names the directory", err)
	}
	first.Close()
	mustOpen(t, dir)
}

func TestDamagedStateNeverBecomesANewIdentity(t *testing.T) {
	for name, damage := range map[string]func(t *testing.T, file string){
		"empty":    func(t *testing.T, f string) { os.WriteFile(f, nil, 0o600) },
		"half":     func(t *testing.T, f string) { b, _ := os.ReadFile(f); os.WriteFile(f, b[:len(b)/2], 0o600) },
		"not json": func(t *testing.T, f string) { os.WriteFile(f, []byte("hello"), 0o600) },
		"no key":   func(t *testing.T, f string) { os.WriteFile(f, []byte(`{"schema":1}`), 0o600) },
		"schema":   func(t *testing.T, f string) { os.WriteFile(f, []byte(`{"schema":99}`), 0o600) },
		"one bit of the key": func(t *testing.T, f string) {
			var id Identity
			if err := Dir(filepath.Dir(f)).Read(identityFile, &id); err != nil {
				t.Fatal(err)
			}
			key, err := mesh.ParsePrivateKey(id.PrivateKey)
			if err != nil {
				t.Fatal(err)
			}
			m := new(mesh.NetworkMap)
			m.Self.Key = key.Public()
			Dir(filepath.Dir(f)).Write(mapFile, m)
			b := []byte(id.PrivateKey)
			b[5] ^= 'a' ^ 'b'
			if _, err := mesh.ParsePrivateKey(string(b)); err != nil {
				b[5] ^= 'a' ^ 'b' ^ 1
			}
			id.PrivateKey = string(b)
			Dir(filepath.Dir(f)).Write(identityFile, id)
		},
		"a directory": func(t *testing.T, f string) { os.Remove(f); os.Mkdir(f, 0o700) },
		"lost": func(t *testing.T, f string) {
			os.Remove(f)
			os.WriteFile(filepath.Join(filepath.Dir(f), mapFile), []byte("{}"), 0o600)
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			mustOpen(t, dir).Close()
			file := filepath.Join(dir, identityFile)
			damage(t, file)
			if s, err := Open(dir); err == nil {
				s.Close()
				t.Fatalf("damaged state was opened as %v", s.Key().Public())
			}
			if _, err := Open(dir); err == nil || strings.Contains(err.Error(), "in use") {
				t.Errorf("after a failed open: %v; the lock must be free and the damage still told", err)
			}
		})
	}
}

func TestMapCache(t *testing.T) {
	s := mustOpen(t, t.TempDir())
	if m, err := s.LoadMap(); m != nil || err != nil {
		t.Fatalf("fresh state has a map: %v, %v", m, err)
	}
	m := &mesh.NetworkMap{
		Version: mesh.Version{Epoch: "e", Rev: 3},
		Self:    mesh.Node{Key: s.Key().Public(), Addresses: []netip.Addr{netip.MustParseAddr("100.64.0.1")}},
	}
	if err := s.SaveMap(m); err != nil {
		t.Fatal(err)
	}
	got, err := s.LoadMap()
	if err != nil || got.Version != m.Version || got.Self.Addresses[0] != m.Self.Addresses[0] {
		t.Fatalf("LoadMap = %+v, %v", got, err)
	}
	m.Self.Key = mesh.Key{1}
	if err := s.SaveMap(m); err != nil {
		t.Fatal(err)
	}
	if got, err := s.LoadMap(); got != nil || err == nil {
		t.Errorf("a map of another key was taken: %+v", got)
	}
}

func TestAFailedWriteLeavesTheOldFile(t *testing.T) {
	dir := Dir(t.TempDir())
	mustOpen(t, string(dir))
	before, _ := os.ReadFile(dir.Path(identityFile))
	if err := dir.Write(identityFile, func() {}); err == nil {
		t.Fatal("a value that cannot be written was written")
	}
	after, _ := os.ReadFile(dir.Path(identityFile))
	if string(before) != string(after) || len(after) == 0 {
		t.Error("a failed write touched the file")
	}
	left, _ := filepath.Glob(dir.Path(".*"))
	if len(left) != 0 {
		t.Errorf("temporary files left: %v", left)
	}
}

func TestSessionsAreKept(t *testing.T) {
	s := mustOpen(t, t.TempDir())
	if got := s.LoadSessions(); len(got) != 0 {
		t.Fatalf("a new state has sessions %v", got)
	}
	if err := s.SaveSessions([]mesh.Key{{1}}); err != nil {
		t.Fatal(err)
	}
	if got := s.LoadSessions(); len(got) != 1 {
		t.Fatalf("sessions = %v", got)
	}
}

// TestStateInMemory: two of them share nothing, not even a lock.
func TestStateInMemory(t *testing.T) {
	a, err := New()
	if err != nil {
		t.Fatal(err)
	}
	b, err := New()
	if err != nil {
		t.Fatal(err)
	}
	if a.Key() == b.Key() {
		t.Error("two states have one key")
	}
	m := &mesh.NetworkMap{Self: mesh.Node{Key: a.Key().Public(), Addresses: []netip.Addr{netip.MustParseAddr("100.64.0.1")}}}
	if err := a.SaveMap(m); err != nil {
		t.Fatal(err)
	}
	if got, err := a.LoadMap(); err != nil || got == nil || got.Self.Key != m.Self.Key {
		t.Errorf("LoadMap = %+v, %v", got, err)
	}
	if got, err := b.LoadMap(); err != nil || got != nil {
		t.Errorf("the other state has the map, too: %+v, %v", got, err)
	}
	a.Node = "n1"
	if err := errors.Join(a.Save(), a.Close(), b.Close()); err != nil {
		t.Error(err)
	}
}

func TestPublicKeyOfARunningNodeAndOfNone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	first, err := PublicKey(dir)
	if err != nil {
		t.Fatal(err)
	}
	s := mustOpen(t, dir) // holds the lock
	if again, err := PublicKey(dir); err != nil || again != first || s.Key().Public() != first {
		t.Errorf("PublicKey = %v, %v; the node has %v", again, err, s.Key().Public())
	}
}
