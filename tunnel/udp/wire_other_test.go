//go:build !linux

package udp

import "log/slog"

func offloads() map[string]func(uint16, *slog.Logger) (*Sockets, error) {
	return map[string]func(uint16, *slog.Logger) (*Sockets, error){"portable": OpenPortable}
}
