package agent

import (
	"errors"
	"io/fs"
	"os"

	"golang.org/x/sys/windows"

	"nexd/mesh"
)

const posixModes = false

// lockState takes the directory's lock, which the system gives back when the
// process ends, however it ends.
func lockState(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, mesh.Errorf(mesh.Unavailable, "agent: state lock: %w", err)
	}
	const flags = windows.LOCKFILE_EXCLUSIVE_LOCK | windows.LOCKFILE_FAIL_IMMEDIATELY
	if err := windows.LockFileEx(windows.Handle(f.Fd()), flags, 0, 1, 0, new(windows.Overlapped)); err != nil {
		f.Close()
		if errors.Is(err, windows.ERROR_LOCK_VIOLATION) {
			return nil, mesh.Errorf(mesh.Conflict, "agent: state %s is in use by another nexd; stop it, or give this one its own --state-dir", path)
		}
		return nil, mesh.Errorf(mesh.Unavailable, "agent: state lock %s: %w", path, err)
	}
	return f, nil
}

// syncDir has no counterpart: Windows keeps renames in its own journal.
func syncDir(string) error { return nil }

// ownerOf knows no user ids here.
func ownerOf(fs.FileInfo) (int, bool) { return 0, false }
