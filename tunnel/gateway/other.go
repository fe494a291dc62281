//go:build !linux

package gateway

import (
	"context"
	"net/netip"

	"nexd/mesh"
)

// Gateway makes the host a router of advertised prefixes; on Linux only.
type Gateway struct{}

var errLinux = mesh.Errorf(mesh.Invalid, "gateway: TUN mode needs Linux")

// New fails: this system's packet filter is not one gateway knows.
func New(Config) (*Gateway, error) { return nil, errLinux }

// Set fails.
func (*Gateway) Set([]mesh.Advertisement, []netip.Prefix) error { return errLinux }

// Status is empty.
func (*Gateway) Status() []Status { return nil }

// Run fails.
func (*Gateway) Run(context.Context) error { return errLinux }

// Close does nothing.
func (*Gateway) Close() error { return nil }

// Clean finds nothing.
func Clean(string, string) ([]string, error) { return nil, nil }

// Orphans finds nothing.
func Orphans(string) ([]string, error) { return nil, nil }
