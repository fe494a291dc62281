package state

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"nexd/control"
	"nexd/mesh"
)

// Names of the files.
const (
	identityFile = "identity.json"
	mapFile      = "map.json"
	sessionsFile = "sessions.json"
	lockFile     = "lock"
)

const schema = 1

// ErrInUse is wrapped by the error of Open for a directory that another process uses.
var ErrInUse = errors.New("state in use")

// Identity is what makes a node the same node after a restart.
type Identity struct {
	Schema     int              `json:"schema"`
	PrivateKey string           `json:"private_key"`
	ListenPort uint16           `json:"listen_port,omitempty"`
	Service    *control.JoinURL `json:"service,omitempty"` // with the pin, if the node trusts the service by it
	Node       mesh.NodeID      `json:"node,omitempty"`    // empty until joined
}

// State is an open state. Its methods may not be called concurrently with changes of
// Identity, which belongs to the node.
type State struct {
	Identity
	files files
	key   mesh.PrivateKey
}

// files is where a State keeps its files.
type files interface {
	Path(name string) string // for people
	read(name string) ([]byte, error)
	replace(name string, b []byte) error
	exists(name string) bool
	close() error
}

// New makes a state in memory, with a new identity.
func New() (*State, error) {
	s := &State{files: new(memory)}
	return s, s.create()
}

// Open locks dir, which it makes if needed, and loads the identity, or makes a new one
// in a directory that never had one. A directory in use is a Conflict that wraps ErrInUse.
// A file that cannot be read or understood is an error, never a new identity.
func Open(dir string) (_ *State, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, mesh.Errorf(mesh.Unavailable, "state: directory %s: %w", dir, err)
	}
	if err := tighten(dir, 0o700); err != nil {
		return nil, err
	}
	lock, err := lockFileAt(filepath.Join(dir, lockFile))
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			lock.Close()
		}
	}()
	s := &State{files: &lockedDir{Dir(dir), lock}}
	switch err := s.load(); {
	case errors.Is(err, fs.ErrNotExist):
		return s, s.create()
	case err != nil:
		return nil, err
	}
	if err := s.matchesMap(); err != nil {
		return nil, err
	}
	return s, tighten(s.files.Path(identityFile), 0o600)
}

// matchesMap returns an error if the map in the directory is of a node with another key. A damaged
// key is mostly a valid one, and would make this node a new one.
func (s *State) matchesMap() error {
	var m struct {
		Self struct {
			Key mesh.Key `json:"key"`
		} `json:"self"`
	}
	if readJSON(s.files, mapFile, &m) != nil || m.Self.Key.IsZero() || m.Self.Key == s.key.Public() {
		return nil // without a map, or with a damaged one, the key decides
	}
	return mesh.Errorf(mesh.Invalid, "state: %s has another key than %s: the node's identity is damaged or from another node; %s; or remove %s if the key is right",
		s.files.Path(identityFile), mapFile, wayOut, mapFile)
}

const wayOut = "restore it from a backup, or remove the whole state directory to join as a new node"

// load reads the identity. Without one it returns fs.ErrNotExist.
func (s *State) load() (err error) {
	if err := readJSON(s.files, identityFile, &s.Identity); err != nil {
		return err
	}
	if s.Schema != schema {
		return mesh.Errorf(mesh.Invalid, "state: %s has schema %d, but this nexd reads schema %d; use the version of nexd that wrote it", s.files.Path(identityFile), s.Schema, schema)
	}
	if s.key, err = mesh.ParsePrivateKey(s.PrivateKey); err != nil {
		return mesh.Errorf(mesh.Invalid, "state: %s is damaged (%v); %s", s.files.Path(identityFile), err, wayOut)
	}
	return nil
}

// create makes a new identity, unless remains of an old one are there.
func (s *State) create() error {
	for _, name := range []string{mapFile, sessionsFile} {
		if s.files.exists(name) {
			return mesh.Errorf(mesh.Invalid, "state: %s is missing, but %s exists: the node's identity is lost; %s", s.files.Path(identityFile), name, wayOut)
		}
	}
	key, err := mesh.NewPrivateKey()
	if err != nil {
		return err
	}
	s.Identity, s.key = Identity{Schema: schema, PrivateKey: key.Text()}, key
	return s.Save()
}

// Key is the node's WireGuard key.
func (s *State) Key() mesh.PrivateKey { return s.key }

// Save writes the identity.
func (s *State) Save() error { return writeJSON(s.files, identityFile, s.Identity) }

// LoadMap reads the last network map. It returns nil when there is none or when the
// map cannot be used; the node then waits for the service's map.
func (s *State) LoadMap() (*mesh.NetworkMap, error) {
	m := new(mesh.NetworkMap)
	switch err := readJSON(s.files, mapFile, m); {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, err
	}
	if m.Self.Key != s.key.Public() || len(m.Self.Addresses) == 0 {
		return nil, mesh.Errorf(mesh.Invalid, "state: %s belongs to another key", s.files.Path(mapFile))
	}
	return m, nil
}

// SaveMap keeps a map. A map may be large, so the file has no white space.
func (s *State) SaveMap(m *mesh.NetworkMap) error {
	b, err := json.Marshal(m)
	if err != nil {
		return mesh.Errorf(mesh.Internal, "state: %s: %w", mapFile, err)
	}
	return s.files.replace(mapFile, b)
}

// LoadSessions reads the peers that this node had WireGuard sessions with. It returns
// none when they cannot be read, because they only shorten the first handshakes.
func (s *State) LoadSessions() []mesh.Key {
	var keys []mesh.Key
	if readJSON(s.files, sessionsFile, &keys) != nil {
		return nil
	}
	return keys
}

// SaveSessions keeps the peers that this node has WireGuard sessions with.
func (s *State) SaveSessions(keys []mesh.Key) error { return writeJSON(s.files, sessionsFile, keys) }

// String is where the state is, for people.
func (s *State) String() string { return s.files.Path("") }

// Close gives the lock back.
func (s *State) Close() error { return s.files.close() }

// PublicKey is the key of the node whose state is in dir; a directory without a node
// gets one. The node may run meanwhile.
func PublicKey(dir string) (mesh.Key, error) {
	s := &State{files: Dir(dir)}
	switch err := s.load(); {
	case errors.Is(err, fs.ErrNotExist):
		made, err := Open(dir)
		if err != nil {
			return mesh.Key{}, err
		}
		return made.key.Public(), made.Close()
	case err != nil:
		return mesh.Key{}, err
	}
	return s.key.Public(), nil
}

// Joined is what a state directory says of its node.
type Joined struct {
	Key     mesh.PrivateKey
	Service control.JoinURL
	Running bool // a node uses the directory now
}

// ReadJoined reads a state directory without changing it. A directory without a node
// that has joined a service is an error of kind NotFound.
func ReadJoined(dir string) (Joined, error) {
	s := &State{files: Dir(dir)}
	err := s.load()
	switch {
	case errors.Is(err, fs.ErrNotExist), err == nil && (s.Service == nil || s.Node == ""):
		return Joined{}, mesh.Errorf(mesh.NotFound, "state: no node in %s has joined a service", dir)
	case err != nil:
		return Joined{}, err
	}
	j := Joined{Service: *s.Service, Key: s.key}
	lock, err := lockFileAt(filepath.Join(dir, lockFile))
	if err != nil {
		j.Running = true // or it cannot be known, which asks for the same care
		return j, nil
	}
	return j, lock.Close()
}

// Lock takes the lock of a state directory without opening the state. It returns nil,
// nil if there is no such directory.
func Lock(dir string) (*os.File, error) {
	lock, err := lockFileAt(filepath.Join(dir, lockFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return lock, err
}
