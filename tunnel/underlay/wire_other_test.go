//go:build !linux

package underlay

import "log/slog"

func offloads() map[string]func(uint16, *slog.Logger) (*sockets, error) {
	return map[string]func(uint16, *slog.Logger) (*sockets, error){"portable": openPortable}
}
