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

// A few settings exist once for the whole machine. They are changed for the
// moment in which they count, and put back.

// smallBuffer is what Linux lets a process without privileges have.
const smallBuffer = "212992"

const (
	readLimit  = "/proc/sys/net/core/rmem_max"
	writeLimit = "/proc/sys/net/core/wmem_max"
	allowedTCP = "/proc/sys/net/ipv4/tcp_allowed_congestion_control"
	ownTCP     = "net.ipv4.tcp_congestion_control"
)

// machineWide is held while a setting of the whole machine is changed.
var machineWide sync.Mutex

// withSettings runs f while the files have the given contents.
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

// WithBuffers runs f, and while it runs under small limits if the path asks for
// them. They count only when a socket asks for buffers, so that they are put back
// as soon as the agent has its sockets.
func (l *Lab) WithBuffers(f func() error) error {
	if !l.path.SmallBuffers {
		return f()
	}
	return withSettings(map[string]string{readLimit: smallBuffer, writeLimit: smallBuffer}, f)
}

// setCongestion gives a namespace its TCP congestion control. A namespace may
// only have one that the machine allows to everybody.
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
