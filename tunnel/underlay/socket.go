package underlay

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strconv"

	"nexd/mesh"
)

// bufferSize is what is asked for as socket buffers; the system gives what it
// allows.
const bufferSize = 7 << 20

// portTries is how often a free port is looked for that both families have.
const portTries = 100

// socket is a UDP socket of one family.
type socket interface {
	// newReader makes what one goroutine reads with.
	newReader() reader
	// send sends the packets to dst. With plain it makes no GSO runs; refused
	// says that the path took the packets one by one but not as a run. After an
	// error the remaining packets are still tried.
	send(bufs [][]byte, dst netip.AddrPort, plain bool) (refused bool, err error)
	// sendHops sends one packet that gets over so many routers at most. IPv4 only.
	sendHops(packet []byte, dst netip.AddrPort, hops int) error
	setMark(mark uint32) error
	close() error
}

// reader reads datagrams into bufs, of which each takes the largest datagram,
// and their sizes into sizes. Spans of slots share a source; in the slots between
// them size is 0. It blocks for at least one datagram and returns the number of
// spans, or net.ErrClosed once the socket is closed.
type reader interface {
	read(bufs [][]byte, sizes []int, spans []span) (int, error)
}

// span is a run of slots with datagrams of one source.
type span struct {
	first, count int
	src          netip.AddrPort
}

// sockets are the two families on one port; one may be missing.
type sockets struct {
	v4, v6 socket
	port   uint16
	closed chan struct{} // closed by Bind.Close; made by Bind.Open
}

// openSockets opens both families, by the platform's best means.
func openSockets(port uint16, log *slog.Logger) (*sockets, error) {
	return openWith(port, func(network string, port uint16) (socket, uint16, error) { return newSocket(network, port, log) })
}

// openPortable opens both families without the platform's help.
func openPortable(port uint16, _ *slog.Logger) (*sockets, error) {
	return openWith(port, newPortable)
}

type opensocket func(network string, port uint16) (socket, uint16, error)

func openWith(port uint16, open opensocket) (*sockets, error) {
	for try := 1; ; try++ {
		s, err := openPair(port, open)
		if err == nil {
			return s, nil
		}
		if port != 0 || !errors.Is(err, errPortTaken) || try == portTries {
			return nil, portError(port, err)
		}
	}
}

func openPair(port uint16, open opensocket) (*sockets, error) {
	v4, port4, err4 := open("udp4", port)
	if err4 != nil && !familyMissing(err4) {
		return nil, err4
	}
	if err4 == nil {
		port = port4
	}
	v6, port6, err6 := open("udp6", port)
	switch {
	case err6 == nil && err4 == nil:
		return &sockets{v4: v4, v6: v6, port: port4}, nil
	case err6 == nil:
		return &sockets{v6: v6, port: port6}, nil
	case err4 == nil && familyMissing(err6):
		return &sockets{v4: v4, port: port4}, nil
	case err4 == nil:
		v4.close()
	}
	return nil, err6
}

// familyMissing says whether the host lacks the address family.
func familyMissing(err error) bool {
	return errors.Is(err, errNoFamily) || errors.Is(err, errNoAddr) || errors.Is(err, errNoProtocol)
}

func portError(port uint16, err error) error {
	switch {
	case errors.Is(err, errPortTaken):
		return mesh.Errorf(mesh.Conflict, "underlay: UDP port %d is taken by another program: %w", port, err)
	case errors.Is(err, os.ErrPermission):
		return mesh.Errorf(mesh.Denied, "underlay: UDP port %d: %w", port, err)
	}
	return mesh.Errorf(mesh.Unavailable, "underlay: UDP port %d: %w", port, err)
}

func (s *sockets) send(bufs [][]byte, dst netip.AddrPort, plain bool) (refused bool, err error) {
	sock := s.v6
	if dst.Addr().Is4() {
		sock = s.v4
	}
	if sock == nil {
		return false, fmt.Errorf("no socket of its address family: %w", errNoFamily)
	}
	return sock.send(bufs, dst, plain)
}

func (s *sockets) sendHops(packet []byte, dst netip.AddrPort, hops int) error {
	if s.v4 == nil || !dst.Addr().Is4() {
		return fmt.Errorf("no socket of its address family: %w", errNoFamily)
	}
	return s.v4.sendHops(packet, dst, hops)
}

func (s *sockets) setMark(mark uint32) error {
	var errs []error
	for _, sock := range []socket{s.v4, s.v6} {
		if sock != nil {
			errs = append(errs, sock.setMark(mark))
		}
	}
	return errors.Join(errs...)
}

func (s *sockets) close() error {
	var errs []error
	for _, sock := range []socket{s.v4, s.v6} {
		if sock != nil {
			errs = append(errs, sock.close())
		}
	}
	return errors.Join(errs...)
}

// listen opens a UDP socket; network is "udp4" or "udp6" (which takes no IPv4).
func listen(network string, port uint16) (*net.UDPConn, uint16, error) {
	var lc net.ListenConfig
	pc, err := lc.ListenPacket(context.Background(), network, ":"+strconv.Itoa(int(port)))
	if err != nil {
		return nil, 0, err
	}
	c := pc.(*net.UDPConn)
	growBuffers(c)
	return c, uint16(c.LocalAddr().(*net.UDPAddr).Port), nil
}

// growBuffers takes the largest buffers the system gives without privileges.
// Some clamp the wish, others refuse it.
func growBuffers(c *net.UDPConn) {
	for _, set := range []func(int) error{c.SetReadBuffer, c.SetWriteBuffer} {
		for size := bufferSize; size >= 1<<17 && set(size) != nil; size /= 2 {
		}
	}
}
