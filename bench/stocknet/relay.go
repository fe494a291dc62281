package main

import (
	"io"
	"net"
	"sync"
)

// buffers are as large as a copy can use.
var buffers = sync.Pool{New: func() any { return new([256 << 10]byte) }}

// relay copies in both directions until both have ended, and forwards half-closes.
func relay(a, b net.Conn) {
	done := make(chan struct{})
	go func() { defer close(done); half(a, b) }()
	half(b, a)
	<-done
}

func half(to, from net.Conn) {
	buf := buffers.Get().(*[256 << 10]byte)
	defer buffers.Put(buf)
	// Without ReadFrom and WriteTo, which would copy in pieces of 32 KiB.
	_, err := io.CopyBuffer(struct{ io.Writer }{to}, struct{ io.Reader }{from}, buf[:])
	if err != nil { // a reset of one side is a reset of the other
		to.Close()
		from.Close()
		return
	}
	if c, ok := to.(interface{ CloseWrite() error }); ok {
		c.CloseWrite()
	}
}
