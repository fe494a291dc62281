//go:build !unix

package splice

import (
	"errors"
	"net"
	"syscall"
)

// This system has no direct access to sockets; newReader and newWriter return nil.

type (
	reader struct{}
	writer struct{}
)

func newReader(net.Conn) *reader { return nil }
func newWriter(net.Conn) *writer { return nil }

func cannotSend(syscall.RawConn) bool { return false }

func (*reader) take() (*buffer, int, error) { return nil, 0, errors.ErrUnsupported }
func (*reader) keep(*buffer)                {}
func (*reader) read([]byte) (int, error)    { return 0, errors.ErrUnsupported }
func (*writer) Write([]byte) (int, error)   { return 0, errors.ErrUnsupported }

// hangupOnThisSystem recognizes the errors of Windows for a closed connection:
// WSAECONNABORTED, WSAECONNRESET, WSAESHUTDOWN.
func hangupOnThisSystem(err error) bool {
	var errno syscall.Errno
	return errors.As(err, &errno) && (errno == 10053 || errno == 10054 || errno == 10058)
}
