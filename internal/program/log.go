package program

import (
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"
)

// The formats of a log.
const (
	LogText = "text" // key=value
	LogJSON = "json" // one JSON object per line
)

// NewLogger returns a logger that writes records of at least a level to w, in LogText or LogJSON.
// Both have the same keys, and values of the same text.
func NewLogger(w io.Writer, format string, level slog.Leveler) *slog.Logger {
	if format == LogJSON {
		return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level, ReplaceAttr: readable}))
	}
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: level}))
}

// End returns the error with which a program that logs in format ends. In LogJSON it is the log's
// last record, since whoever reads lines of JSON wants that one too.
func End(log *slog.Logger, format string, err error, code func(error) int) error {
	if err == nil || errors.Is(err, ErrReported) || format != LogJSON {
		return err
	}
	log.Error("ended", "err", err, "exit_code", code(err))
	return LoggedError{err}
}

// readable writes as text what encoding/json would write as a number of nanoseconds or as the
// fields of a struct.
func readable(groups []string, a slog.Attr) slog.Attr {
	switch v := a.Value.Any().(type) {
	case time.Duration:
		a.Value = slog.StringValue(v.String())
	case error, json.Marshaler, encoding.TextMarshaler: // slog and json know these
	case fmt.Stringer:
		a.Value = slog.StringValue(v.String())
	}
	return a
}
