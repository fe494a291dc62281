//go:build unix

package unixsock

import (
	"net"
	"os"
	"path/filepath"
)

// listenPrivate creates the socket inside a directory of mode 0700 and moves it into
// place once its mode is set, so others can never connect.
func listenPrivate(path string) (net.Listener, error) {
	dir, err := os.MkdirTemp(filepath.Dir(path), ".s")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	tmp := filepath.Join(dir, "s")
	ln, err := net.Listen("unix", tmp)
	if err != nil {
		return nil, err
	}
	ln.(*net.UnixListener).SetUnlinkOnClose(false) // it is renamed below
	if err := os.Chmod(tmp, 0o600); err != nil {
		ln.Close()
		return nil, err
	}
	if err := os.Rename(tmp, path); err != nil {
		ln.Close()
		return nil, err
	}
	return &moved{Listener: ln, path: path}, nil
}

// moved is a listener whose socket file was moved after bind.
type moved struct {
	net.Listener
	path string
}

func (m *moved) Addr() net.Addr { return &net.UnixAddr{Name: m.path, Net: "unix"} }

func (m *moved) Close() error {
	os.Remove(m.path)
	return m.Listener.Close()
}
