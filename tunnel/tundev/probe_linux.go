package tundev

import (
	"errors"
	"io/fs"

	"golang.org/x/sys/unix"

	"nexd/mesh"
)

const devicePath = "/dev/net/tun"

// Probe returns nil if this process may create an interface, or an error that names the
// missing privilege. It creates nothing.
func Probe() error {
	fd, err := unix.Open(devicePath, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return lacks(err)
	}
	unix.Close(fd)
	if !mayAdmin() {
		return lacks(unix.EPERM)
	}
	return nil
}

// mayAdmin reports whether this process has CAP_NET_ADMIN over its network namespace. A
// process can have the capability in a user namespace that does not own the network
// namespace, so mayAdmin also tries a harmless operation.
func mayAdmin() bool {
	var data [2]unix.CapUserData
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	if unix.Capget(&hdr, &data[0]) != nil || data[unix.CAP_NET_ADMIN/32].Effective&(1<<(unix.CAP_NET_ADMIN%32)) == 0 {
		return false
	}
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer unix.Close(s)
	return unix.SetsockoptInt(s, unix.SOL_SOCKET, unix.SO_MARK, Mark) == nil
}

// lacks returns the error for a missing privilege or device.
func lacks(err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ENODEV), errors.Is(err, unix.ENXIO):
		return mesh.Errorf(mesh.Denied, "tundev: %s is missing (run modprobe tun, or the container with --device=%s)", devicePath, devicePath)
	case errors.Is(err, unix.EACCES):
		return mesh.Errorf(mesh.Denied, "tundev: this user may not open %s", devicePath)
	case errors.Is(err, unix.EPERM):
		return mesh.Errorf(mesh.Denied, "tundev: the capability CAP_NET_ADMIN is missing (run as root, or in a container with --cap-add=NET_ADMIN)")
	}
	return mesh.Errorf(mesh.Unavailable, "tundev: open %s: %w", devicePath, err)
}
