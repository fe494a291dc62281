package unixsock

import (
	"net"
	"os"
	"time"

	"nexd/mesh"
)

// MaxPath is the maximum length of a socket's path in bytes. sun_path has 104 (BSD) or
// 108 bytes, including the terminating zero.
const MaxPath = 100

// Listen opens a socket at path for this user only. It replaces a socket file that a
// killed process has left behind. Closing the listener removes the file.
func Listen(path string) (net.Listener, error) {
	if path == "" || len(path) > MaxPath {
		return nil, mesh.Errorf(mesh.Invalid, "unixsock: socket path %q is %d bytes long, want 1 to %d", path, len(path), MaxPath)
	}
	if c, err := net.DialTimeout("unix", path, time.Second); err == nil {
		c.Close()
		return nil, mesh.Errorf(mesh.Conflict, "unixsock: another process answers on %s", path)
	}
	if info, err := os.Lstat(path); err == nil {
		if info.Mode()&os.ModeSocket == 0 {
			return nil, mesh.Errorf(mesh.Conflict, "unixsock: %s exists and is no socket", path)
		}
		os.Remove(path)
	}
	ln, err := listenPrivate(path)
	if err != nil {
		return nil, mesh.Errorf(mesh.Unavailable, "unixsock: %w", err)
	}
	return ln, nil
}
