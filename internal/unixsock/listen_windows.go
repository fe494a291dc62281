package unixsock

import "net"

// listenPrivate relies on the state directory's inherited access list: Windows
// keeps no mode on a socket file.
func listenPrivate(path string) (net.Listener, error) { return net.Listen("unix", path) }
