package datagram

// hostWaiter is for systems whose sockets can be waited for without a buffer.
func hostWaiter(any) func() error { return nil }
