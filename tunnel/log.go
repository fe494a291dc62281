package tunnel

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"golang.zx2c4.com/wireguard/device"

	"nexd/mesh"
)

// warnEvery is how often the same error about one peer is logged. The device reports an
// error for every batch of packets while the network is down.
const warnEvery = 10 * time.Second

// deviceLog turns the device's log lines into structured ones. Errors become warnings,
// because most of them are about the network; everything else becomes debug output.
type deviceLog struct {
	out *slog.Logger

	mu    sync.Mutex // guards what follows
	names map[string]string
	last  map[string]*complaint
}

type complaint struct {
	at         time.Time
	suppressed int
}

func newDeviceLog(out *slog.Logger) *deviceLog {
	if out == nil {
		out = slog.New(slog.DiscardHandler)
	}
	return &deviceLog{out: out, names: map[string]string{}, last: map[string]*complaint{}}
}

func (l *deviceLog) logger() *device.Logger {
	return &device.Logger{
		Verbosef: func(format string, args ...any) {
			if l.out.Enabled(context.Background(), slog.LevelDebug) {
				peer, detail := l.line(format, args)
				l.out.Debug("wireguard", attrs(peer, detail, 0)...)
			}
		},
		Errorf: func(format string, args ...any) {
			peer, detail := l.line(format, args)
			if n, due := l.due(format+peer, time.Now()); due {
				l.out.Warn("wireguard", attrs(peer, detail, n)...)
			}
		},
	}
}

func attrs(peer, detail string, suppressed int) []any {
	out := make([]any, 0, 6)
	if peer != "" {
		out = append(out, "peer", peer)
	}
	out = append(out, "detail", detail)
	if suppressed > 0 {
		out = append(out, "suppressed", suppressed)
	}
	return out
}

// line splits a line of the device into its peer, if any, and the rest.
func (l *deviceLog) line(format string, args []any) (peer, detail string) {
	const lead = "%v - "
	if len(args) == 0 { // some errors are passed as the format itself
		return "", format
	}
	if p, ok := args[0].(*device.Peer); ok && strings.HasPrefix(strings.Replace(format, "%s", "%v", 1), lead) {
		return l.name(p.String()), fmt.Sprintf(format[len(lead):], args[1:]...)
	}
	return "", fmt.Sprintf(format, args...)
}

// name is the form in which nexd logs a peer.
func (l *deviceLog) name(peer string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if name := l.names[peer]; name != "" {
		return name
	}
	return peer
}

// know adds the name of a peer in the device.
func (l *deviceLog) know(key mesh.Key) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.names[inDevice(key)] = key.Short()
}

// forget removes the name of a peer that left the device.
func (l *deviceLog) forget(key mesh.Key) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.names, inDevice(key))
}

// inDevice is the device's name of a peer.
func inDevice(key mesh.Key) string {
	text := key.String()
	return "peer(" + text[:4] + "…" + text[39:43] + ")"
}

// due reports whether to log an error, and how many equal ones were suppressed.
func (l *deviceLog) due(what string, now time.Time) (suppressed int, due bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.last[what]
	if c != nil && now.Sub(c.at) < warnEvery {
		c.suppressed++
		return 0, false
	}
	if c == nil {
		if len(l.last) >= 1024 {
			clear(l.last)
		}
		c = new(complaint)
		l.last[what] = c
	}
	suppressed = c.suppressed
	c.at, c.suppressed = now, 0
	return suppressed, true
}
