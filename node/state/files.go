package state

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"nexd/mesh"
)

// Dir reads and replaces JSON files in a directory. Whoever uses a Dir beside a node
// takes file names that the node does not use.
type Dir string

// Path is where a file of the directory is.
func (d Dir) Path(name string) string { return filepath.Join(string(d), name) }

// Read reads a file. Its error is fs.ErrNotExist if there is none.
func (d Dir) Read(name string, into any) error { return readJSON(d, name, into) }

// Write replaces a file, which has mode 0600. After a crash either the old or the new
// content is there, whole.
func (d Dir) Write(name string, value any) error { return writeJSON(d, name, value) }

func (d Dir) read(name string) ([]byte, error) { return os.ReadFile(d.Path(name)) }

func (d Dir) exists(name string) bool {
	_, err := os.Lstat(d.Path(name))
	return err == nil
}

func (d Dir) close() error { return nil }

// replace writes a file by way of a temporary one: write, fsync, rename, fsync of the
// directory.
func (d Dir) replace(name string, b []byte) (err error) {
	defer func() {
		if err != nil {
			err = mesh.Errorf(mesh.Unavailable, "state: cannot write %s: %w", d.Path(name), err)
		}
	}()
	tmp, err := os.CreateTemp(string(d), "."+name+".*") // 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			tmp.Close()
			os.Remove(tmp.Name())
		}
	}()
	if _, err := tmp.Write(append(b, '\n')); err != nil {
		return err
	}
	if err := tmp.Sync(); err != nil {
		return err
	}
	if err := tmp.Close(); err != nil {
		return err
	}
	if err := os.Rename(tmp.Name(), d.Path(name)); err != nil {
		return err
	}
	return syncDir(string(d))
}

// lockedDir is the directory of a node that runs.
type lockedDir struct {
	Dir
	lock *os.File
}

func (d *lockedDir) close() error { return d.lock.Close() }

// memory keeps files until the process ends.
type memory struct {
	mu    sync.Mutex
	files map[string][]byte
}

// Path implements files.
func (m *memory) Path(name string) string { return "memory:" + name }

func (m *memory) read(name string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if b, ok := m.files[name]; ok {
		return b, nil
	}
	return nil, fs.ErrNotExist
}

func (m *memory) replace(name string, b []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.files == nil {
		m.files = map[string][]byte{}
	}
	m.files[name] = b
	return nil
}

func (m *memory) exists(name string) bool {
	_, err := m.read(name)
	return err == nil
}

func (m *memory) close() error { return nil }

func readJSON(f files, name string, into any) error {
	b, err := f.read(name)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return mesh.Errorf(mesh.Unavailable, "state: cannot read: %w", err)
	}
	if err := json.Unmarshal(b, into); err != nil {
		return mesh.Errorf(mesh.Invalid, "state: %s is damaged (%v); %s", f.Path(name), err, wayOut)
	}
	return nil
}

func writeJSON(f files, name string, value any) error {
	b, err := json.MarshalIndent(value, "", "\t")
	if err != nil {
		return mesh.Errorf(mesh.Internal, "state: %s: %w", name, err)
	}
	return f.replace(name, b)
}

// tighten takes the rights of group and others away from a path of the state.
func tighten(path string, mode fs.FileMode) error {
	info, err := os.Stat(path)
	if err != nil {
		return mesh.Errorf(mesh.Unavailable, "state: cannot read: %w", err)
	}
	if !posixModes || info.Mode().Perm()&^mode == 0 {
		return nil
	}
	if err := os.Chmod(path, mode); err != nil {
		return mesh.Errorf(mesh.Denied, "state: %s is accessible to other users (mode %v), and its mode cannot be changed: %w", path, info.Mode().Perm(), err)
	}
	return nil
}
