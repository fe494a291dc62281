package router

import (
	"context"
	"errors"
	"net"
	"syscall"
)

// outcome is the result of dialling a target.
type outcome uint8

const (
	connected  outcome = iota
	refused            // the target is up and refuses the connection
	noHost             // no neighbour answers for the target's address
	noNet              // this host has no route to the target
	prohibited         // a firewall of this host or on the path forbids the connection
	timedOut           // the target did not answer in time
	exhausted          // this host has no descriptor, port or memory left
	abandoned          // the client left, the prefix was withdrawn or Run ended
	limited            // the peer has reached a limit
)

var outcomeNames = [...]string{"connected", "refused", "no host", "no network", "prohibited", "timed out", "exhausted", "abandoned", "limited"}

func (o outcome) String() string { return outcomeNames[o] }

// outcomeOf turns the error of a dial into an outcome.
func outcomeOf(err error) outcome {
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
		return timedOut
	default:
		return noHost
	}
}

// datagramOutcome is outcomeOf for an error of a connected UDP socket. Only an errno with a clear
// meaning changes the outcome; every other error means connected.
func datagramOutcome(err error) outcome {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		if o, ok := errnoOutcome(errno); ok {
			return o
		}
	}
	return connected
}

// verdict has the answers that TCP flows, UDP flows and echo requests have in common.
type verdict interface {
	Unreachable(Reach)
	Drop()
}

// answer passes an outcome other than connected on to the client. Each protocol refuses in its own
// way; if refuse is nil, the client gets no answer.
func answer(v verdict, o outcome, refuse func()) {
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
