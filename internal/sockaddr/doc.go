// Package sockaddr converts addresses to and from the structures of Linux's socket calls,
// without allocating, for sockets that use raw system calls. It opens no socket, and its
// only system call looks up the interface of a zone. On other systems it is empty.
package sockaddr
