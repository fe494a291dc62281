package sqlite_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"nexd/internal/leak"
	"nexd/mesh"
	"nexd/service/store"
)

// disk mounts a small file system of its own.
func disk(t *testing.T, options string) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root to mount a small disk")
	}
	dir := t.TempDir()
	if err := syscall.Mount("store-test", dir, "tmpfs", 0, options); err != nil {
		t.Skipf("cannot mount a small disk: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Errorf("unmount %s: %v", dir, err)
		}
	})
	return dir
}

func TestFullDisk(t *testing.T) {
	leak.Check(t)
	dir := disk(t, "size=2m")
	path := filepath.Join(dir, "nexd.db")
	s, b := fresh(t, path)
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	var err error
	joined := 0
	for ; err == nil && joined < 10_000; joined++ {
		_, err = register(s, b.KeySecret)
	}
	joined--
	if mesh.KindOf(err) != mesh.Unavailable || !errors.Is(err, store.ErrDatabase) || !strings.Contains(err.Error(), "the disk is full") {
		t.Errorf("after %d nodes: %v (%v)", joined, err, mesh.KindOf(err))
	}
	snap, err := s.Snapshot(t.Context(), b.Organization.ID)
	if err != nil || len(snap.Nodes) != joined {
		t.Errorf("a full disk shows %d nodes instead of %d, %v", len(snap.Nodes), joined, err)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	if _, err := register(s, b.KeySecret); err != nil {
		t.Errorf("with room again: %v", err)
	}
}

func TestReadOnlyDisk(t *testing.T) {
	leak.Check(t)
	dir := disk(t, "size=4m")
	path := filepath.Join(dir, "nexd.db")
	s, _ := fresh(t, path)
	s.Close()
	if err := syscall.Mount("store-test", dir, "tmpfs", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	wantOpenError(t, path, store.Options{}, mesh.Unavailable, "is read-only")
	wantOpenError(t, filepath.Join(dir, "new.db"), store.Options{Create: true}, mesh.Unavailable, "read-only")
}

func TestReadOnlyFile(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root may write everything")
	}
	leak.Check(t)
	path := filepath.Join(t.TempDir(), "nexd.db")
	s, _ := fresh(t, path)
	s.Close()
	if err := os.Chmod(path, 0o400); err != nil {
		t.Fatal(err)
	}
	wantOpenError(t, path, store.Options{}, mesh.Unavailable, "is read-only")
	if err := os.Chmod(path, 0); err != nil {
		t.Fatal(err)
	}
	wantOpenError(t, path, store.Options{}, mesh.Unavailable, "cannot be opened")
}
