//go:build linux

package lab

import (
	"bytes"
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// offloads are the features for super-packets. A veth pair passes super-packets whole,
// unlike a real network.
var offloads = []string{
	"tx-udp-segmentation", "tx-tcp-segmentation", "tx-tcp6-segmentation", "tx-tcp-ecn-segmentation",
	"tx-tcp-mangleid-segmentation", "tx-generic-segmentation", "rx-gro",
}

const (
	featureNameLen = 32 // ETH_GSTRING_LEN
	setOfFeatures  = 4  // ETH_SS_FEATURES
)

// setFeatures turns features of an interface in the current namespace on or off, like
// ethtool -K. It ignores features that the interface lacks or cannot change.
func setFeatures(dev string, names []string, on bool) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	all, err := featureNames(fd, dev)
	if err != nil {
		return fmt.Errorf("features of %s: %w", dev, err)
	}
	if err := ethtool(fd, dev, featureRequest(all, names, on)); err != nil {
		return fmt.Errorf("set features of %s: %w", dev, err)
	}
	return nil
}

// featureNames returns the kernel's names of the feature bits.
func featureNames(fd int, dev string) ([]string, error) {
	// struct ethtool_sset_info: cmd, reserved, u64 mask, then a count for each bit.
	info := make([]uint32, 5)
	info[0], info[2] = unix.ETHTOOL_GSSET_INFO, 1<<setOfFeatures
	if err := ethtool(fd, dev, info); err != nil {
		return nil, err
	}
	n := int(info[4])
	// struct ethtool_gstrings: cmd, set, length, then the names.
	text := make([]uint32, 3+n*featureNameLen/4)
	text[0], text[1], text[2] = unix.ETHTOOL_GSTRINGS, setOfFeatures, uint32(n)
	if err := ethtool(fd, dev, text); err != nil {
		return nil, err
	}
	raw := unsafe.Slice((*byte)(unsafe.Pointer(&text[3])), n*featureNameLen)
	names := make([]string, n)
	for i := range names {
		name, _, _ := bytes.Cut(raw[i*featureNameLen:(i+1)*featureNameLen], []byte{0})
		names[i] = string(name)
	}
	return names, nil
}

// featureRequest builds a struct ethtool_sfeatures: cmd, size, then for every 32 features a
// mask of the features to change and their wanted values.
func featureRequest(all, names []string, on bool) []uint32 {
	blocks := (len(all) + 31) / 32
	req := make([]uint32, 2+2*blocks)
	req[0], req[1] = unix.ETHTOOL_SFEATURES, uint32(blocks)
	for i, f := range all {
		for _, want := range names {
			if f == want {
				req[2+2*(i/32)] |= 1 << (i % 32)
				if on {
					req[3+2*(i/32)] |= 1 << (i % 32)
				}
			}
		}
	}
	return req
}

// ethtool makes one SIOCETHTOOL call; the answer overwrites the request.
func ethtool(fd int, dev string, request []uint32) error {
	var ifreq struct {
		name [unix.IFNAMSIZ]byte
		data unsafe.Pointer
		_    [16]byte
	}
	copy(ifreq.name[:unix.IFNAMSIZ-1], dev)
	ifreq.data = unsafe.Pointer(&request[0])
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&ifreq)))
	runtime.KeepAlive(request)
	if errno != 0 {
		return errno
	}
	return nil
}
