package router

import (
	"context"
	"errors"
	"net/netip"
)

// pingSocketWorks returns false: Windows has no ping sockets.
func pingSocketWorks(netip.Addr) bool { return false }

func pingSocket(context.Context, probe) error { return errors.ErrUnsupported }
