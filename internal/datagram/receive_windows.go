package datagram

import "net"

// hostReceiver is for systems that let a program wait for a socket without a buffer. Windows
// does not.
func hostReceiver(net.Conn, *Pool, func(fd int)) func() (*Buffer, int, error) { return nil }
