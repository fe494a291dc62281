package router

import (
	"context"
	"errors"
	"net"
	"syscall"
)

// outcome is what the host said when asked for a target.
type outcome uint8

const (
	connected  outcome = iota
	refused            // the target lives and says no
	noHost             // no neighbour answers
	noNet              // no route
	prohibited         // a rule of the host or on the way forbids it
	silent             // nothing came back in time
	exhausted          // this host has no descriptor, port or memory left
	abandoned          // the client left, the prefix was withdrawn or Run ended
	full               // a limit is reached
)

var outcomeNames = [...]string{"connected", "refused", "no host", "no network", "prohibited", "silent", "exhausted", "abandoned", "full"}

func (o outcome) String() string { return outcomeNames[o] }

// judge reads the outcome from a socket's error.
func judge(err error) outcome {
	if err == nil {
		return connected
	}
	var errno syscall.Errno
	if errors.As(err, &errno) {
		if o, ok := errnoOutcome(errno); ok {
			return o
		}
	}
	var timeout net.Error
	switch {
	case errors.Is(err, context.Canceled):
		return abandoned
	case errors.As(err, &timeout) && timeout.Timeout():
		return silent
	default:
		return noHost
	}
}

// judgeDatagram is judge for a socket that was connected before: only what an
// errno says clearly counts, anything else is connected.
func judgeDatagram(err error) outcome {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		if o, ok := errnoOutcome(errno); ok {
			return o
		}
	}
	return connected
}

// verdict is what TCP flows, UDP flows and echo requests can be told alike.
type verdict interface {
	Unreachable(Reach)
	Drop()
}

// tell passes an outcome other than connected on to the client. Refusing is
// different for each protocol, so that a nil refuse means silence.
func tell(v verdict, o outcome, refuse func()) {
	switch o {
	case refused, exhausted:
		if refuse == nil {
			v.Drop()
			return
		}
		refuse()
	case noHost:
		v.Unreachable(HostUnreachable)
	case noNet:
		v.Unreachable(NetUnreachable)
	case prohibited:
		v.Unreachable(AdminProhibited)
	default:
		v.Drop()
	}
}
