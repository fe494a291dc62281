//go:build unix

package unixsock

import (
	"net"
	"os"
	"path/filepath"
)

// listenPrivate makes the socket inside a 0700 directory of its own and moves it
// into place once its mode is right, so that at no moment others may connect.
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
	ln.(*net.UnixListener).SetUnlinkOnClose(false) // its name changes below
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

// moved is a listener whose socket file lies elsewhere than where it was bound.
type moved struct {
	net.Listener
	path string
}

func (m *moved) Addr() net.Addr { return &net.UnixAddr{Name: m.path, Net: "unix"} }

func (m *moved) Close() error {
	os.Remove(m.path)
	return m.Listener.Close()
}
