//go:build linux

package load

import (
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// The roles in which bench starts itself.
const (
	RoleServer = "load-server"
	RoleClient = "load-client"
)

// The first byte of a connection tells the server what to do.
const (
	wantDown = 'd' // send bytes until the client closes the connection
	wantUp   = 'u' // read and discard
	wantEcho = 'e' // send every block of echoSize back
	wantOne  = '1' // send one byte, and wait until the client closes the connection
)

const (
	echoSize = 64
	bulkSize = 1 << 20
	// FirstByteLimit is the time limit for the first byte through a system.
	FirstByteLimit = 15 * time.Second
	DialLimit      = 10 * time.Second
)

// zeros is the data of all bulk flows.
var zeros [bulkSize]byte

// sinks are buffers for reading.
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

// pour writes until the other side closes the connection.
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
