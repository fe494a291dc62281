//go:build !linux

package gateway

import (
	"context"
	"net/netip"

	"nexd/mesh"
)

// Gateway makes the host a router for advertised prefixes, on Linux only.
type Gateway struct{}

var errLinux = mesh.Errorf(mesh.Invalid, "gateway: TUN mode needs Linux")

// New fails, because gateway does not support this system's packet filter.
func New(Config) (*Gateway, error) { return nil, errLinux }

// Set fails.
func (*Gateway) Set([]mesh.Advertisement, []netip.Prefix) error { return errLinux }

// Status is empty.
func (*Gateway) Status() []Status { return nil }

// Run fails.
func (*Gateway) Run(context.Context) error { return errLinux }

// Close does nothing.
func (*Gateway) Close() error { return nil }

// Clean does nothing.
func Clean(string, string) ([]string, error) { return nil, nil }

// Orphans returns nothing.
func Orphans(string) ([]string, error) { return nil, nil }
