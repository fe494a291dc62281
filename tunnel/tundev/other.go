//go:build !linux

package tundev

import (
	"context"
	"net/netip"
	"syscall"

	"golang.zx2c4.com/wireguard/tun"

	"nexd/mesh"
)

// Device is a kernel interface, on Linux only.
type Device struct{}

var errSystem = mesh.Errorf(mesh.Invalid, "tundev: TUN mode needs Linux")

// Probe fails, because TUN mode needs Linux.
func Probe() error { return errSystem }

// New fails, because TUN mode needs Linux.
func New(Config) (*Device, error) { return nil, errSystem }

// Clean does nothing.
func Clean() ([]string, error) { return nil, nil }

// Exists returns false, because nexd creates no interface on this system.
func Exists(string) bool { return false }

// Device is nil.
func (d *Device) Device() tun.Device { return nil }

// Name is empty.
func (d *Device) Name() string { return "" }

// Table is 0.
func (d *Device) Table() int { return 0 }

// Set fails.
func (d *Device) Set([]netip.Addr, []netip.Prefix) ([]Skipped, error) { return nil, errSystem }

// SetMTU fails.
func (d *Device) SetMTU(map[netip.Prefix]int) error { return errSystem }

// Skipped is empty.
func (d *Device) Skipped() []Skipped { return nil }

// HasIPv6 is false.
func (d *Device) HasIPv6() bool { return false }

// Run fails.
func (d *Device) Run(context.Context) error { return errSystem }

// Close does nothing.
func (d *Device) Close() error { return nil }

// Outside fails.
func Outside(_, _ string, _ syscall.RawConn) error { return errSystem }

// Only returns a Control that fails.
func Only(string) func(network, address string, c syscall.RawConn) error { return Outside }
