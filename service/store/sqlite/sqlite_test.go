package sqlite_test

import (
	"bufio"
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"nexd/internal/leak"
	"nexd/mesh"
	"nexd/service/store"
)

// open opens the store over the SQLite file path; the test's end closes it.
func open(t *testing.T, path string, opts store.Options) *store.Store {
	t.Helper()
	opts.Create = true
	s, err := store.Open(t.Context(), path, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return s
}

// fresh is a bootstrapped database with a reusable registration key.
func fresh(t *testing.T, path string) (*store.Store, store.Bootstrapped) {
	t.Helper()
	s := open(t, path, store.Options{})
	b, err := s.Bootstrap(t.Context(), store.BootstrapParams{Email: "ada@example.com", PasswordHash: "x", Key: &store.KeyParams{}})
	if err != nil {
		t.Fatal(err)
	}
	return s, b
}

func register(s *store.Store, secret string) (store.Registered, error) {
	k, err := mesh.NewPrivateKey()
	if err != nil {
		return store.Registered{}, err
	}
	return s.Register(context.Background(), store.Registration{Key: k.Public(), RegistrationKey: secret, Hostname: "n"})
}

func wantOpenError(t *testing.T, dsn string, opts store.Options, kind mesh.Kind, text string) {
	t.Helper()
	s, err := store.Open(t.Context(), dsn, opts)
	if err == nil {
		s.Close()
	}
	if err == nil || mesh.KindOf(err) != kind || !strings.Contains(err.Error(), text) || strings.Contains(err.Error(), "\n") {
		t.Errorf("Open(%q) = %v (%v), want %v with %q in one line", dsn, err, mesh.KindOf(err), kind, text)
	}
}

// raw speaks SQL with a database beside the store.
func raw(t *testing.T, path string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func TestPathsWithOddCharacters(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("file names are narrower here")
	}
	dir := t.TempDir()
	for _, name := range []string{"plain.db", "a b.db", "a?mode=memory.db", "a#b.db", "100%.db", "ümlaut.db", "new/dir/x.db"} {
		path := filepath.Join(dir, name)
		for _, dsn := range []string{path, "sqlite:" + path, "sqlite://" + path} {
			s, err := store.Open(t.Context(), dsn, store.Options{Create: true})
			if err != nil {
				t.Errorf("Open(%q) = %v", dsn, err)
				continue
			}
			s.Close()
			info, err := os.Stat(path)
			if err != nil || info.Size() == 0 {
				t.Errorf("Open(%q) left %v, %v", dsn, info, err)
			} else if info.Mode().Perm() != 0o600 {
				t.Errorf("the database has mode %v", info.Mode())
			}
		}
	}
	t.Chdir(dir)
	s, err := store.Open(t.Context(), "relative.db", store.Options{Create: true})
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	if _, err := os.Stat(filepath.Join(dir, "relative.db")); err != nil {
		t.Error(err)
	}
}

// No secret is in the file: neither of a registration key nor of a session.
func TestSecretsAreNotInTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "nexd.db")
	s, b := fresh(t, path)
	r, err := register(s, b.KeySecret)
	if err != nil {
		t.Fatal(err)
	}
	token, _, err := s.CreateSession(t.Context(), b.Organization.ID, r.Node.ID, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	for _, suffix := range []string{"", "-wal"} {
		content, err := os.ReadFile(path + suffix)
		if err != nil {
			t.Fatal(err)
		}
		for _, secret := range []string{b.KeySecret, token} {
			if bytes.Contains(content, []byte(secret)) {
				t.Errorf("the file %q holds a secret in clear", suffix)
			}
		}
	}
}

func TestFilesThatAreNoDatabase(t *testing.T) {
	leak.Check(t)
	dir := t.TempDir()
	text := filepath.Join(dir, "text.db")
	if err := os.WriteFile(text, bytes.Repeat([]byte("this is no database\n"), 500), 0o600); err != nil {
		t.Fatal(err)
	}
	wantOpenError(t, text, store.Options{}, mesh.Invalid, text+" is not an SQLite database")

	foreign := filepath.Join(dir, "foreign.db")
	if _, err := raw(t, foreign).Exec(`CREATE TABLE songs (title TEXT)`); err != nil {
		t.Fatal(err)
	}
	wantOpenError(t, foreign, store.Options{}, mesh.Invalid, foreign+" belongs to another program")

	empty := filepath.Join(dir, "empty.db")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s := open(t, empty, store.Options{})
	if _, err := s.Meta(t.Context()); mesh.KindOf(err) != mesh.NotFound {
		t.Errorf("Meta of an empty file = %v", err)
	}
}

func TestNewerSchema(t *testing.T) {
	leak.Check(t)
	path := filepath.Join(t.TempDir(), "nexd.db")
	s, _ := fresh(t, path)
	s.Close()
	if _, err := raw(t, path).Exec(`INSERT INTO goose_db_version (version_id, is_applied) VALUES (4711, 1)`); err != nil {
		t.Fatal(err)
	}
	wantOpenError(t, path, store.Options{}, mesh.Invalid, "was written by a newer nexservice (schema 4711, this one knows 4); run the newer one")
}

func TestDamagedDatabase(t *testing.T) {
	leak.Check(t)
	path := filepath.Join(t.TempDir(), "nexd.db")
	s, b := fresh(t, path)
	for range 200 {
		if _, err := register(s, b.KeySecret); err != nil {
			t.Fatal(err)
		}
	}
	s.Close()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := 4096; i < len(content); i++ { // all but the first page
		content[i] ^= 0x5a
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	s, err = store.Open(t.Context(), path, store.Options{})
	if err == nil {
		_, err = s.Snapshot(t.Context(), b.Organization.ID)
		s.Close()
	}
	if mesh.KindOf(err) != mesh.Unavailable || !strings.Contains(err.Error(), "is damaged; restore it from a backup") {
		t.Errorf("a damaged database gives %v (%v)", err, mesh.KindOf(err))
	}
}

func TestLockedDatabase(t *testing.T) {
	leak.Check(t)
	path := filepath.Join(t.TempDir(), "nexd.db")
	s, b := fresh(t, path)
	quick := open(t, path, store.Options{BusyTimeout: 20 * time.Millisecond})
	conn, err := raw(t, path).Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.ExecContext(t.Context(), `BEGIN IMMEDIATE`); err != nil {
		t.Fatal(err)
	}
	if _, err := register(quick, b.KeySecret); mesh.KindOf(err) != mesh.Unavailable || !strings.Contains(err.Error(), "is locked by another process") {
		t.Errorf("Register beside a writer = %v", err)
	}
	wantOpenError(t, path, store.Options{BusyTimeout: 20 * time.Millisecond}, mesh.Unavailable, "is locked by another process")
	if _, err := quick.Revs(t.Context()); err != nil {
		t.Errorf("readers do not wait for writers, but Revs = %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	begun := time.Now()
	if _, err := s.CreateOrganization(ctx, "x", ""); mesh.KindOf(err) != mesh.Unavailable || time.Since(begun) > 3*time.Second {
		t.Errorf("a caller with 50 ms waited %v: %v", time.Since(begun), err)
	}
	if _, err := conn.ExecContext(t.Context(), `ROLLBACK`); err != nil {
		t.Fatal(err)
	}
	if _, err := register(quick, b.KeySecret); err != nil {
		t.Errorf("Register after the other writer = %v", err)
	}
	if _, err := register(s, b.KeySecret); err != nil {
		t.Errorf("Register after the other writer = %v", err)
	}
}

func TestManyOpenAnEmptyDatabaseAtOnce(t *testing.T) {
	leak.Check(t)
	path := filepath.Join(t.TempDir(), "nexd.db")
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			s, err := store.Open(t.Context(), path, store.Options{Create: true})
			if err != nil {
				t.Errorf("Open = %v", err)
				return
			}
			defer s.Close()
			if _, err := s.Revs(t.Context()); err != nil {
				t.Errorf("Revs = %v", err)
			}
		})
	}
	wg.Wait()
}

func TestTwoStoresOnOneFile(t *testing.T) {
	leak.Check(t)
	path := filepath.Join(t.TempDir(), "nexd.db")
	a, boot := fresh(t, path)
	b := open(t, path, store.Options{})
	org := boot.Organization.ID
	for i := range 20 {
		s, other := a, b
		if i%2 == 1 {
			s, other = b, a
		}
		if _, err := register(s, boot.KeySecret); err != nil {
			t.Fatal(err)
		}
		mine, err := s.Revs(t.Context())
		theirs, err2 := other.Revs(t.Context())
		if err != nil || err2 != nil || mine[org] != theirs[org] || mine[org].Map != uint64(i+2) {
			t.Errorf("revs %v, %v and %v, %v", mine, err, theirs, err2)
		}
	}
	var wg sync.WaitGroup
	for _, s := range []*store.Store{a, b} {
		wg.Go(func() {
			for range 50 {
				if _, err := register(s, boot.KeySecret); err != nil {
					t.Errorf("Register = %v", err)
				}
			}
		})
	}
	wg.Wait()
	if snap, err := a.Snapshot(t.Context(), org); err != nil || len(snap.Nodes) != 120 || snap.Version.Rev != 121 {
		t.Errorf("%d nodes at revision %d, %v", len(snap.Nodes), snap.Version.Rev, err)
	}
}

// TestSecondProcess runs this test's binary beside the store; killed in the
// middle of its work, it leaves whole nodes only.
func TestSecondProcess(t *testing.T) {
	if path := os.Getenv("NEXD_STORE_TEST_DB"); path != "" {
		s := open(t, path, store.Options{})
		for turns := bufio.NewScanner(os.Stdin); turns.Scan(); {
			r, err := register(s, os.Getenv("NEXD_STORE_TEST_KEY"))
			if err != nil {
				t.Fatal(err)
			}
			fmt.Println("joined", r.Node.Name)
		}
		return
	}
	leak.Check(t)
	path := filepath.Join(t.TempDir(), "nexd.db")
	s, b := fresh(t, path)
	for round := range 3 {
		cmd := exec.Command(os.Args[0], "-test.run=^TestSecondProcess$")
		cmd.Env = append(os.Environ(), "NEXD_STORE_TEST_DB="+path, "NEXD_STORE_TEST_KEY="+b.KeySecret)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		turns, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		joined, lines := 0, bufio.NewScanner(out)
		turn := func() { // both processes register at once
			fmt.Fprintln(turns)
			if _, err := register(s, b.KeySecret); err != nil {
				t.Errorf("Register beside another process = %v", err)
			}
			for lines.Scan() {
				if strings.HasPrefix(lines.Text(), "joined") {
					joined++
					return
				}
			}
		}
		for range 20 {
			turn()
		}
		fmt.Fprint(turns, strings.Repeat("\n", 1000)) // work to be killed in
		lines.Scan()
		if err := cmd.Process.Kill(); err != nil {
			t.Error(err)
		}
		if err := cmd.Wait(); err == nil || joined != 20 {
			t.Errorf("round %d: the other process joined %d nodes and ended with %v", round, joined, err)
		}
		snap, err := s.Snapshot(t.Context(), b.Organization.ID)
		if err != nil {
			t.Fatal(err)
		}
		if len(snap.Nodes) < 20*(round+1) || snap.Version.Rev != uint64(len(snap.Nodes)+1) {
			t.Errorf("%d nodes at revision %d", len(snap.Nodes), snap.Version.Rev)
		}
		for _, n := range snap.Nodes {
			if len(n.Addresses) != 2 {
				t.Errorf("half a node: %+v", n)
			}
		}
	}
}

func TestOpenEndsWithItsCaller(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := store.Open(ctx, filepath.Join(t.TempDir(), "nexd.db"), store.Options{Create: true})
	if mesh.KindOf(err) != mesh.Unavailable || !errors.Is(err, context.Canceled) {
		t.Errorf("Open = %v", err)
	}
}
