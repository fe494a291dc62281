// Package sockaddr turns addresses into what Linux's socket calls take, and back,
// without allocating: for sockets that move datagrams by raw system calls. It opens
// none and makes no call but to look up a zone's interface. On other systems it is
// empty.
package sockaddr
