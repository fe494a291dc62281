package agent

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"nexd/control"
	"nexd/mesh"
)

// Files of a state directory. The directory is 0700, every file 0600.
const (
	identityFile = "identity.json"
	mapFile      = "map.json"
	sessionsFile = "sessions.json"
	lockFile     = "lock"
	stateSchema  = 1
)

// identity is what makes this node the same node after a restart. It is written
// before the first word to the service, so that a registration that succeeded
// can never be lost.
type identity struct {
	Schema     int              `json:"schema"`
	PrivateKey string           `json:"private_key"`
	ListenPort uint16           `json:"listen_port,omitempty"`
	Service    *control.JoinURL `json:"service,omitempty"` // with the pin, if that is how it is trusted
	Node       mesh.NodeID      `json:"node,omitempty"`    // empty until joined
	key        mesh.PrivateKey  // PrivateKey, parsed
}

// state is an open, locked state directory.
type state struct {
	dir  string
	lock *os.File
	identity
}

// openState locks dir, making it if needed, and loads the identity or makes a
// new one in a directory that never held one. A file that cannot be read or
// understood is an error, never a new identity.
func openState(dir string) (_ *state, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, mesh.Errorf(mesh.Unavailable, "agent: state directory %s: %w", dir, err)
	}
	if err := tighten(dir, 0o700); err != nil {
		return nil, err
	}
	lock, err := lockState(filepath.Join(dir, lockFile))
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			lock.Close()
		}
	}()
	s := &state{dir: dir, lock: lock}
	switch err := s.read(identityFile, &s.identity); {
	case errors.Is(err, fs.ErrNotExist):
		return s, s.create()
	case err != nil:
		return nil, err
	}
	if s.Schema != stateSchema {
		return nil, mesh.Errorf(mesh.Invalid, "agent: %s has schema %d, but this nexd reads schema %d; use the version of nexd that wrote it", s.path(identityFile), s.Schema, stateSchema)
	}
	if s.key, err = mesh.ParsePrivateKey(s.PrivateKey); err != nil {
		return nil, mesh.Errorf(mesh.Invalid, "agent: %s is damaged (%v); %s", s.path(identityFile), err, wayOut)
	}
	return s, tighten(s.path(identityFile), 0o600)
}

const wayOut = "restore it from a backup, or remove the whole state directory to join as a new node"

// PublicKey is the key of the node whose state is in dir; a directory without a
// node gets one. The node may run meanwhile.
func PublicKey(dir string) (mesh.Key, error) {
	s := &state{dir: dir}
	switch err := s.read(identityFile, &s.identity); {
	case errors.Is(err, fs.ErrNotExist):
		made, err := openState(dir)
		if err != nil {
			return mesh.Key{}, err
		}
		return made.key.Public(), made.close()
	case err != nil:
		return mesh.Key{}, err
	}
	key, err := mesh.ParsePrivateKey(s.PrivateKey)
	if err != nil {
		return mesh.Key{}, mesh.Errorf(mesh.Invalid, "agent: %s is damaged (%v); %s", s.path(identityFile), err, wayOut)
	}
	return key.Public(), nil
}

// Joined is what a state directory says of its node.
type Joined struct {
	Key     mesh.PrivateKey
	Service control.JoinURL
	Running bool // an agent uses the directory now
}

// ReadJoined reads a state directory without changing it. A directory without a node
// that has joined a service is an error of kind NotFound.
func ReadJoined(dir string) (Joined, error) {
	s := &state{dir: dir}
	err := s.read(identityFile, &s.identity)
	switch {
	case errors.Is(err, fs.ErrNotExist), err == nil && (s.Service == nil || s.Node == ""):
		return Joined{}, mesh.Errorf(mesh.NotFound, "agent: no node in %s has joined a service", dir)
	case err != nil:
		return Joined{}, err
	}
	j := Joined{Service: *s.Service}
	if j.Key, err = mesh.ParsePrivateKey(s.PrivateKey); err != nil {
		return Joined{}, mesh.Errorf(mesh.Invalid, "agent: %s is damaged (%v); %s", s.path(identityFile), err, wayOut)
	}
	lock, err := lockState(s.path(lockFile))
	if err != nil {
		j.Running = true // or it cannot be known, which asks for the same care
		return j, nil
	}
	return j, lock.Close()
}

// create makes a new identity, unless remains of an old one are there.
func (s *state) create() error {
	for _, name := range []string{mapFile, sessionsFile} {
		if _, err := os.Lstat(s.path(name)); err == nil {
			return mesh.Errorf(mesh.Invalid, "agent: %s is missing, but %s exists: the node's identity is lost; %s", s.path(identityFile), name, wayOut)
		}
	}
	key, err := mesh.NewPrivateKey()
	if err != nil {
		return err
	}
	s.identity = identity{Schema: stateSchema, PrivateKey: key.Text(), key: key}
	return s.save()
}

// save writes the identity.
func (s *state) save() error { return s.write(identityFile, s.identity) }

// loadMap reads the last good network map; nil when there is none or it cannot
// be used, which costs only the wait for a new one.
func (s *state) loadMap() (*mesh.NetworkMap, error) {
	m := new(mesh.NetworkMap)
	switch err := s.read(mapFile, m); {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, err
	}
	if m.Self.Key != s.key.Public() || len(m.Self.Addresses) == 0 {
		return nil, mesh.Errorf(mesh.Invalid, "agent: %s belongs to another key", s.path(mapFile))
	}
	return m, nil
}

// saveMap keeps a map. It may be large, so it has no white space.
func (s *state) saveMap(m *mesh.NetworkMap) error {
	b, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("agent: state %s: %w", mapFile, err)
	}
	return s.replace(mapFile, b)
}

// loadSessions reads the peers this node had WireGuard sessions with.
func (s *state) loadSessions() []mesh.Key {
	var keys []mesh.Key
	if s.read(sessionsFile, &keys) != nil {
		return nil // an optimisation only
	}
	return keys
}

func (s *state) saveSessions(keys []mesh.Key) error { return s.write(sessionsFile, keys) }

// forget removes the identity and everything that belongs to it.
func (s *state) forget() error {
	var errs []error
	for _, name := range []string{mapFile, sessionsFile, identityFile} { // the identity last
		if err := os.Remove(s.path(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func (s *state) close() error { return s.lock.Close() }

func (s *state) path(name string) string { return filepath.Join(s.dir, name) }

func (s *state) read(name string, into any) error {
	b, err := os.ReadFile(s.path(name))
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return mesh.Errorf(mesh.Unavailable, "agent: state: %w", err)
	}
	if err := json.Unmarshal(b, into); err != nil {
		return mesh.Errorf(mesh.Invalid, "agent: %s is damaged (%v); %s", s.path(name), err, wayOut)
	}
	return nil
}

// write replaces a file.
func (s *state) write(name string, value any) error {
	b, err := json.MarshalIndent(value, "", "\t")
	if err != nil {
		return fmt.Errorf("agent: state %s: %w", name, err)
	}
	return s.replace(name, b)
}

// replace writes a file so that after a crash either the old or the new content
// is there, whole: temporary file, fsync, rename, fsync of the directory.
func (s *state) replace(name string, b []byte) (err error) {
	defer func() {
		if err != nil {
			err = mesh.Errorf(mesh.Unavailable, "agent: cannot write state %s: %w", s.path(name), err)
		}
	}()
	tmp, err := os.CreateTemp(s.dir, "."+name+".*") // 0600
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
	if err := os.Rename(tmp.Name(), s.path(name)); err != nil {
		return err
	}
	return syncDir(s.dir)
}

// tighten takes group and other rights away from a path of the state.
func tighten(path string, mode fs.FileMode) error {
	info, err := os.Stat(path)
	if err != nil {
		return mesh.Errorf(mesh.Unavailable, "agent: state: %w", err)
	}
	if !posixModes || info.Mode().Perm()&^mode == 0 {
		return nil
	}
	if err := os.Chmod(path, mode); err != nil {
		return mesh.Errorf(mesh.Denied, "agent: %s is accessible to other users (mode %v), and its mode cannot be changed: %w", path, info.Mode().Perm(), err)
	}
	return nil
}
