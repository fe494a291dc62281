//go:build !linux

package node

import "context"

// networkEvents tells of nothing here: the network is looked at from time to time.
func networkEvents(context.Context, chan<- struct{}) error { return nil }
