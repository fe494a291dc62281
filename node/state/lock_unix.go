//go:build unix

package state

import (
	"errors"
	"io"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"nexd/mesh"
)

const posixModes = true

// lockFileAt locks the file at path. The kernel releases the lock when the process ends.
func lockFileAt(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, mesh.Errorf(mesh.Unavailable, "state: lock: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		defer f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, mesh.Errorf(mesh.Conflict, "%w by another nexd: %s%s", ErrInUse, path, holder(f))
		}
		return nil, mesh.Errorf(mesh.Unavailable, "state: lock %s: %w", path, err)
	}
	if f.Truncate(0) == nil {
		f.WriteString(strconv.Itoa(os.Getpid()) + "\n") // for people; the lock is what counts
	}
	return f, nil
}

func holder(f *os.File) string {
	b, _ := io.ReadAll(io.LimitReader(f, 20))
	if pid := strings.TrimSpace(string(b)); pid != "" {
		return " (process " + pid + ")"
	}
	return ""
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
