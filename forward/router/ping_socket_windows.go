package router

import (
	"context"
	"errors"
	"net/netip"
)

// pingSocketWorks is false: Windows has no ping sockets.
func pingSocketWorks(netip.Addr) bool { return false }

func pingSocket(context.Context, probe) error { return errors.ErrUnsupported }
