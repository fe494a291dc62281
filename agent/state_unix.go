//go:build unix

package agent

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"nexd/mesh"
)

const posixModes = true

// lockState takes the directory's lock, which the kernel gives back when the
// process ends, however it ends.
func lockState(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, mesh.Errorf(mesh.Unavailable, "agent: state lock: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		defer f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, mesh.Errorf(mesh.Conflict, "agent: state %s is in use by another nexd%s; stop it, or give this one its own --state-dir", path, holder(f))
		}
		return nil, mesh.Errorf(mesh.Unavailable, "agent: state lock %s: %w", path, err)
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

// ownerOf is the user that a file belongs to.
func ownerOf(info fs.FileInfo) (int, bool) {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, false
	}
	return int(st.Uid), true
}
