//go:build linux

package load

import (
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// The roles in which this program is started again.
const (
	RoleServer = "load-server"
	RoleClient = "load-client"
)

// A connection's first byte says what the client wants of the server.
const (
	wantDown = 'd' // bytes until the client hangs up
	wantUp   = 'u' // a sink
	wantEcho = 'e' // every block of echoSize back
	wantOne  = '1' // one byte, then silence until the client hangs up
)

const (
	echoSize = 64
	bulkSize = 1 << 20
	// FirstByteLimit is how long a system may take until its first byte.
	FirstByteLimit = 15 * time.Second
	DialLimit      = 10 * time.Second
)

// zeros is what everybody sends.
var zeros [bulkSize]byte

// sinks are the buffers everybody reads into.
var sinks = sync.Pool{New: func() any { return new([bulkSize / 4]byte) }}

// drain reads until the end and counts.
func drain(c io.Reader, count func(int)) {
	buf := sinks.Get().(*[bulkSize / 4]byte)
	defer sinks.Put(buf)
	for {
		n, err := c.Read(buf[:])
		count(n)
		if err != nil {
			return
		}
	}
}

// pour writes until the other side hangs up.
func pour(c net.Conn) {
	for {
		if _, err := c.Write(zeros[:]); err != nil {
			return
		}
	}
}

// Stdio is one connection made of a reader and a writer.
type Stdio struct {
	io.ReadCloser
	io.WriteCloser
}

// Close closes both.
func (s Stdio) Close() error { return errors.Join(s.WriteCloser.Close(), s.ReadCloser.Close()) }
