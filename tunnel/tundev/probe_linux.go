package tundev

import (
	"errors"
	"io/fs"

	"golang.org/x/sys/unix"

	"nexd/mesh"
)

const devicePath = "/dev/net/tun"

// Probe says whether this process may make an interface: nil, or an error that
// names what is missing. It makes nothing.
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

// mayAdmin says whether this process has CAP_NET_ADMIN over the network namespace
// it is in. A process can have the capability in a user namespace that does not
// own its network, so the kernel is asked for something harmless, too.
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

// lacks explains why there is no interface.
func lacks(err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ENODEV), errors.Is(err, unix.ENXIO):
		return mesh.Errorf(mesh.Denied, "tundev: %s is missing (modprobe tun; in a container --device=%s)", devicePath, devicePath)
	case errors.Is(err, unix.EACCES):
		return mesh.Errorf(mesh.Denied, "tundev: %s may not be opened by this user", devicePath)
	case errors.Is(err, unix.EPERM):
		return mesh.Errorf(mesh.Denied, "tundev: the capability CAP_NET_ADMIN is missing (run as root; in a container --cap-add=NET_ADMIN)")
	}
	return mesh.Errorf(mesh.Unavailable, "tundev: open %s: %w", devicePath, err)
}
