package unixsock

import "net"

// listenPrivate relies on the inherited access list of the state directory, because
// Windows keeps no mode on a socket file.
func listenPrivate(path string) (net.Listener, error) { return net.Listen("unix", path) }
