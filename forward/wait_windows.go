package forward

import "net"

// hostWaiter is for systems whose sockets can be waited for without a buffer.
func hostWaiter(net.Conn) func() error { return nil }
