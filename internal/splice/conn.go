package splice

import (
	"net"
	"time"
)

// keepAlive is how long a connection is idle before the kernel, or the mesh's stack, probes
// whether the other side is still there.
const keepAlive = time.Minute

// Abort closes c with a reset, so that the peer does not take what it received for complete.
func Abort(c net.Conn) {
	setReset(c)
	c.Close()
}

// setReset makes Close of c send a reset.
func setReset(c net.Conn) {
	if l, ok := c.(interface{ SetLinger(sec int) error }); ok {
		_ = l.SetLinger(0) // it fails only on a closed connection
	}
}

// KeepAlive makes c end when its peer has vanished. On a host socket it costs four system
// calls.
func KeepAlive(c net.Conn) {
	if k, ok := c.(interface {
		SetKeepAliveConfig(net.KeepAliveConfig) error
	}); ok {
		_ = k.SetKeepAliveConfig(KeepAliveConfig)
		return
	}
	if k, ok := c.(interface{ SetKeepAlivePeriod(time.Duration) error }); ok {
		_ = k.SetKeepAlivePeriod(keepAlive)
	}
	if k, ok := c.(interface{ SetKeepAlive(bool) error }); ok {
		_ = k.SetKeepAlive(true)
	}
}

// KeepAliveConfig is what KeepAlive sets on a host socket, for dialers that set it themselves.
var KeepAliveConfig = net.KeepAliveConfig{Enable: true, Idle: keepAlive, Interval: keepAlive / 4, Count: 4}
