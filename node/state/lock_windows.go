package state

import (
	"errors"
	"os"

	"golang.org/x/sys/windows"

	"nexd/mesh"
)

const posixModes = false

// lockFileAt locks the file at path. The system releases the lock when the process ends.
func lockFileAt(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, mesh.Errorf(mesh.Unavailable, "state: lock: %w", err)
	}
	const flags = windows.LOCKFILE_EXCLUSIVE_LOCK | windows.LOCKFILE_FAIL_IMMEDIATELY
	if err := windows.LockFileEx(windows.Handle(f.Fd()), flags, 0, 1, 0, new(windows.Overlapped)); err != nil {
		f.Close()
		if errors.Is(err, windows.ERROR_LOCK_VIOLATION) {
			return nil, mesh.Errorf(mesh.Conflict, "%w by another nexd: %s", ErrInUse, path)
		}
		return nil, mesh.Errorf(mesh.Unavailable, "state: lock %s: %w", path, err)
	}
	return f, nil
}

// syncDir has no counterpart: Windows keeps renames in its own journal.
func syncDir(string) error { return nil }
