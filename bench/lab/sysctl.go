//go:build linux

package lab

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"sync"
)

// Some settings apply to the whole machine. The lab changes them only while needed and
// then restores them.

// smallBuffer is the limit of Linux for processes without privileges.
const smallBuffer = "212992"

const (
	readLimit  = "/proc/sys/net/core/rmem_max"
	writeLimit = "/proc/sys/net/core/wmem_max"
	allowedTCP = "/proc/sys/net/ipv4/tcp_allowed_congestion_control"
	ownTCP     = "net.ipv4.tcp_congestion_control"
)

// machineWide guards settings of the whole machine.
var machineWide sync.Mutex

// withSettings runs f with the given contents of the files, and then restores them.
func withSettings(files map[string]string, f func() error) (err error) {
	machineWide.Lock()
	defer machineWide.Unlock()
	for file, value := range files {
		old, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.WriteFile(file, []byte(strings.TrimSpace(string(old))), 0o644)) }()
		if err := os.WriteFile(file, []byte(value), 0o644); err != nil {
			return err
		}
	}
	return f()
}

// WithBuffers runs f, with small buffer limits if the path has SmallBuffers. The limits
// matter only when a program sets the buffers of a socket, so they are restored as soon as
// the agent has its sockets.
func (l *Lab) WithBuffers(f func() error) error {
	if !l.path.SmallBuffers {
		return f()
	}
	return withSettings(map[string]string{readLimit: smallBuffer, writeLimit: smallBuffer}, f)
}

// setCongestion sets the TCP congestion control of a namespace. A namespace may use only an
// algorithm that the machine allows for everybody.
func (l *Lab) setCongestion(ctx context.Context, name string) error {
	algorithm := l.congestion
	set := func() error {
		return l.Run(ctx, l.Cmd("ip netns exec %s sysctl -qw %s=%s", l.NS(name), ownTCP, algorithm))
	}
	b, err := os.ReadFile(allowedTCP)
	if err != nil {
		return err
	}
	allowed := strings.Fields(string(b))
	if slices.Contains(allowed, algorithm) {
		return set()
	}
	return withSettings(map[string]string{allowedTCP: strings.Join(append(allowed, algorithm), " ")}, set)
}
