//go:build linux

package main

import (
	"errors"
	"os"
	"strings"
)

// smallBuffer is what Linux lets a process without privileges have.
const smallBuffer = "212992"

var bufferLimits = []string{"/proc/sys/net/core/rmem_max", "/proc/sys/net/core/wmem_max"}

// withBuffers runs f, and while it runs under small limits if the path asks for
// them. The limits are the whole machine's and count only when a socket asks for
// buffers, so that they are put back as soon as the agent has its sockets.
func (l *lab) withBuffers(f func() error) (err error) {
	if !l.path.smallBuffers {
		return f()
	}
	for _, file := range bufferLimits {
		old, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.WriteFile(file, []byte(strings.TrimSpace(string(old))), 0)) }()
		if err := os.WriteFile(file, []byte(smallBuffer), 0); err != nil {
			return err
		}
	}
	return f()
}
