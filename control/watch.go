package control

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"nexd/mesh"
)

// ReasonReplaced is the reason of Watch's error when another connection of the same node has
// taken over.
const ReasonReplaced = "replaced"

var errSilence = errors.New("silence")

// Watch follows the network map over one connection, from the version of the node's map (zero
// for none). It calls handle for every event except keepalives, on the calling goroutine. It
// returns nil only when ctx has ended. Otherwise the error has the reason ReasonGone (the node
// was removed) or ReasonReplaced (another connection of the same node has taken over), or its
// kind tells whether reconnecting can help. An error of handle ends Watch, which returns it
// unchanged.
func (c *Client) Watch(ctx context.Context, have mesh.Version, handle func(Event) error) error {
	streamCtx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	query := ""
	if have.Epoch != "" {
		query = "?have=" + url.QueryEscape(have.Epoch+":"+strconv.FormatUint(have.Rev, 10))
	}
	err := c.inSession(streamCtx, func(token string) error {
		resp, err := c.open(streamCtx, request{method: http.MethodGet, path: PathWatch, query: query, token: token, stream: true})
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		return c.follow(streamCtx, cancel, resp.Body, handle)
	})
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// CanStandBy reports whether StandBy works with this service. It is known after an error with
// ReasonReplaced.
func (c *Client) CanStandBy() bool { return c.standBy.Load() }

// StandBy asks whether this node may watch again without replacing another agent with the same key.
// The service tells the other agent that somebody asked.
func (c *Client) StandBy(ctx context.Context) (free bool, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	err = c.inSession(ctx, func(token string) error {
		resp, err := c.open(ctx, request{method: http.MethodGet, path: PathWatch, query: "?standby=1", token: token, stream: true})
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		return c.follow(ctx, cancel, resp.Body, func(e Event) error {
			free = e.Type != EventReplaced
			return errAsked
		})
	})
	if errors.Is(err, errAsked) {
		return free, nil
	}
	return false, err
}

var errAsked = errors.New("asked")

// follow reads events until the stream ends or is silent for too long.
func (c *Client) follow(ctx context.Context, cancel context.CancelCauseFunc, body io.Reader, handle func(Event) error) error {
	alive := &aliveReader{r: body, limit: c.cfg.Silence}
	alive.timer = time.AfterFunc(alive.limit, func() { cancel(errSilence) })
	defer alive.timer.Stop()
	lines := &lineReader{r: bufio.NewReaderSize(alive, 64<<10), most: MaxLine}
	for {
		line, err := lines.next()
		if err != nil {
			return c.streamEnd(ctx, err)
		}
		e, err := ParseEvent(line)
		if err != nil {
			return c.errorf(mesh.Unavailable, "%w", err)
		}
		if e.Type == EventKeepalive {
			continue
		}
		alive.timer.Stop() // the handler's time is not the service's
		if err := handle(e); err != nil {
			return err
		}
		if e.Type.Last() {
			return c.lastWord(e)
		}
		alive.timer.Reset(alive.limit)
	}
}

func (c *Client) streamEnd(ctx context.Context, err error) error {
	switch {
	case errors.Is(context.Cause(ctx), errSilence):
		return c.errorf(mesh.Unavailable, "the service said nothing for %v; the connection is dead", c.cfg.Silence)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return c.errorf(mesh.Unavailable, "the service, or a proxy on the way, closed the watch")
	case errors.Is(err, errLongLine):
		return c.errorf(mesh.Unavailable, "a line of the watch is longer than %d bytes", MaxLine)
	}
	return c.explain(ctx, err)
}

func (c *Client) lastWord(e Event) error {
	from := "control: " + c.cfg.URL.Base() + ": "
	switch e.Type {
	case EventGone:
		return Errorf(mesh.Denied, ReasonGone, "%sthis node was removed from its organization: %s", from, e.Detail)
	case EventReplaced:
		c.standBy.Store(e.StandBy)
		return Errorf(mesh.Conflict, ReasonReplaced, "%sanother agent connected with this node's key: %s", from, e.Detail)
	default:
		return Errorf(mesh.Unavailable, "", "%sthe service is shutting down: %s", from, e.Detail)
	}
}

// aliveReader resets the timer whenever bytes arrive.
type aliveReader struct {
	r     io.Reader
	timer *time.Timer
	limit time.Duration
}

func (a *aliveReader) Read(p []byte) (int, error) {
	n, err := a.r.Read(p)
	if n > 0 {
		a.timer.Reset(a.limit)
	}
	return n, err
}

// lineKept is the maximum size of a line's buffer that is kept for reuse: a map of 10,000 nodes
// has megabytes, and the next line may be hours away.
const lineKept = 256 << 10

var errLongLine = errors.New("line too long")

// lineReader reads lines of bounded length. Text before EOF without a newline is an error,
// because the stream was cut off.
type lineReader struct {
	r    *bufio.Reader
	most int
	buf  bytes.Buffer
}

// next returns the next line that is not empty. It is valid until the next call.
func (l *lineReader) next() ([]byte, error) {
	for {
		l.buf.Reset()
		if l.buf.Cap() > lineKept {
			l.buf = bytes.Buffer{}
		}
		for {
			part, err := l.r.ReadSlice('\n')
			if l.buf.Len()+len(part) > l.most {
				return nil, errLongLine
			}
			l.buf.Write(part)
			if err == nil {
				break
			}
			if !errors.Is(err, bufio.ErrBufferFull) {
				return nil, err
			}
		}
		if line := bytes.TrimSpace(l.buf.Bytes()); len(line) > 0 {
			return line, nil
		}
	}
}
