//go:build !linux

package node

import "context"

// networkEvents sends nothing on this system: networkWatch polls.
func networkEvents(context.Context, chan<- struct{}) error { return nil }
