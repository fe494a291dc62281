package relay

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"nexd/mesh"
)

const (
	waitFirst    = 250 * time.Millisecond
	waitReplaced = time.Minute // so that two nodes with the same key do not replace each other all the time
	waitDenied   = 15 * time.Second
	heldGood     = 10 * time.Second // a connection that lasted so long resets the backoff
)

// byeError is the error of a session that the relay ended with a bye frame.
type byeError struct {
	reason Reason
	text   string
}

func (e *byeError) Error() string {
	switch {
	case e.reason == ByeReplaced:
		return "relay closed the connection: another agent connected with this node's key"
	case e.reason == ByeStopping:
		return "relay closed the connection: the service is shutting down"
	case e.text == "":
		return "relay closed the connection: " + e.reason.String()
	}
	return fmt.Sprintf("relay closed the connection: %v: %s", e.reason, printable(e.text))
}

// backoff computes the wait before the next attempt: a quarter of a second, doubled each time up to
// most, then a random part of its upper half.
type backoff struct {
	most  time.Duration
	tries int
}

func (b *backoff) next(held time.Duration, err error) time.Duration {
	if held >= heldGood {
		b.tries = 0
	}
	wait := b.most
	if b.tries < 8 {
		wait = min(b.most, waitFirst<<b.tries)
	}
	b.tries++
	var bye *byeError
	switch {
	case errors.As(err, &bye) && bye.reason == ByeReplaced:
		wait = waitReplaced
	case errors.As(err, &bye) && (bye.reason == ByeDenied || bye.reason == ByeProtocol) && b.tries > 2, mesh.KindOf(err) == mesh.Denied:
		wait = max(wait, waitDenied)
	}
	return wait/2 + rand.N(wait/2+1)
}

// printable makes foreign text safe for a log line.
func printable(s string) string {
	out := []rune{}
	for _, r := range s {
		if r >= ' ' && r < 0x7f {
			out = append(out, r)
		}
	}
	return string(out)
}
