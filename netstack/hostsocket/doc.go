// Package hostsocket reads and writes the host's stream sockets by their descriptors,
// so that netstack can move bytes between a socket and the buffers of gVisor's stack
// with one copy, the kernel's.
//
// The calls belong inside the callbacks of a syscall.RawConn, which keep the
// descriptor open. On systems other than Unix the package is empty.
package hostsocket
