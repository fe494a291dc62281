package datagram

// hostWaiter is for systems that let a program wait for a socket without a buffer. Windows
// does not.
func hostWaiter(any) func() error { return nil }
