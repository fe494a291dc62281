package udp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strconv"
	"sync/atomic"
	"syscall"

	"nexd/mesh"
)

// bufferSize is the size requested for socket buffers. The system may grant less.
const bufferSize = 7 << 20

// portTries is how many free ports of one family Open tries before it gives up
// finding one that is also free in the other.
const portTries = 100

// socket is a UDP socket of one family.
type socket interface {
	newReader() Reader
	send(bufs [][]byte, dst netip.AddrPort, source netip.Addr, plain bool) (Refused, error)
	sendHops(packet []byte, dst netip.AddrPort, hops int) error
	setMark(mark uint32) error
	close() error
}

// Reader receives datagrams for one goroutine.
type Reader interface {
	// Read receives datagrams into bufs, each of which must hold the largest
	// datagram, and stores their sizes in sizes. Each span names slots that hold
	// datagrams of one source to one address; a slot between spans has size 0. Read
	// blocks until at least one datagram arrives and returns the number of spans, or
	// net.ErrClosed after Close.
	Read(bufs [][]byte, sizes []int, spans []Span) (int, error)
}

// Span is a run of slots with datagrams of one source.
type Span struct {
	First, Count int
	Src          netip.AddrPort
	At           netip.Addr // the address of this host that they were sent to; invalid where the system does not report it
}

// Refused is what a path did not take.
type Refused struct {
	Run    bool // it took the packets one by one only
	Source bool // it took them without the source address only: the host has lost that, or its route
}

func (r *Refused) add(o Refused) { r.Run, r.Source = r.Run || o.Run, r.Source || o.Source }

// Sockets are an IPv4 and an IPv6 socket on one port. One of them may be missing.
type Sockets struct {
	v4, v6 socket
	port   uint16
	mark   atomic.Uint32
}

// Open opens a socket of each family on port, or on a port that is free in both
// families if port is 0. A host may lack one family. The kind of the error tells a
// taken port (mesh.Conflict) from a forbidden one (mesh.Denied).
func Open(port uint16, log *slog.Logger) (*Sockets, error) {
	return openWith(port, func(network string, port uint16) (socket, uint16, error) { return newSocket(network, port, log) })
}

// OpenPortable is Open without batches and segmentation offload.
func OpenPortable(port uint16, _ *slog.Logger) (*Sockets, error) {
	return openWith(port, newPortable)
}

type openFunc func(network string, port uint16) (socket, uint16, error)

func openWith(port uint16, open openFunc) (*Sockets, error) {
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

func openPair(port uint16, open openFunc) (*Sockets, error) {
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
		return &Sockets{v4: v4, v6: v6, port: port4}, nil
	case err6 == nil:
		return &Sockets{v6: v6, port: port6}, nil
	case err4 == nil && familyMissing(err6):
		return &Sockets{v4: v4, port: port4}, nil
	case err4 == nil:
		v4.close()
	}
	return nil, err6
}

// familyMissing reports whether err means that the host lacks the address family.
func familyMissing(err error) bool {
	return errors.Is(err, errNoFamily) || errors.Is(err, errNoAddr) || errors.Is(err, errNoProtocol)
}

func portError(port uint16, err error) error {
	switch {
	case errors.Is(err, errPortTaken):
		return mesh.Errorf(mesh.Conflict, "udp: port %d is taken by another program: %w", port, err)
	case errors.Is(err, os.ErrPermission):
		return mesh.Errorf(mesh.Denied, "udp: port %d: %w", port, err)
	}
	return mesh.Errorf(mesh.Unavailable, "udp: port %d: %w", port, err)
}

// Port is the port of both sockets.
func (s *Sockets) Port() uint16 { return s.port }

// Readers makes a reader for each family; nil for a missing one.
func (s *Sockets) Readers() (v4, v6 Reader) {
	if s.v4 != nil {
		v4 = s.v4.newReader()
	}
	if s.v6 != nil {
		v6 = s.v6.newReader()
	}
	return v4, v6
}

// SendFrom sends the packets to dst from an address of this host, as Span.At has it. Where the
// address is invalid or refused, and on systems other than Linux, the host's routes select the
// source. Unless plain is set it uses segmentation offload. SendFrom goes on with the remaining
// packets after an error and returns the first one.
func (s *Sockets) SendFrom(bufs [][]byte, dst netip.AddrPort, source netip.Addr, plain bool) (Refused, error) {
	sock := s.v6
	if dst.Addr().Is4() {
		sock = s.v4
	}
	if sock == nil {
		return Refused{}, fmt.Errorf("no socket of its address family: %w", errNoFamily)
	}
	return sock.send(bufs, dst, source, plain)
}

// SendHops sends one IPv4 packet with a time to live of hops.
func (s *Sockets) SendHops(packet []byte, dst netip.AddrPort, hops int) error {
	if s.v4 == nil || !dst.Addr().Is4() {
		return fmt.Errorf("no socket of its address family: %w", errNoFamily)
	}
	return s.v4.sendHops(packet, dst, hops)
}

// Route is the address of this host from which packets to dst leave as the host's routes are now,
// without a zone; invalid if there is no route. It sends nothing.
func (s *Sockets) Route(dst netip.AddrPort) netip.Addr {
	var d net.Dialer
	if mark := s.mark.Load(); mark != 0 { // rules may look at it
		d.Control = func(_, _ string, c syscall.RawConn) error { return markRaw(c, mark) }
	}
	c, err := d.DialContext(context.Background(), "udp", dst.String())
	if err != nil {
		return netip.Addr{}
	}
	defer c.Close()
	return c.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap().WithZone("")
}

// SetMark sets SO_MARK on Linux and does nothing elsewhere.
func (s *Sockets) SetMark(mark uint32) error {
	s.mark.Store(mark)
	var errs []error
	for _, sock := range []socket{s.v4, s.v6} {
		if sock != nil {
			errs = append(errs, sock.setMark(mark))
		}
	}
	return errors.Join(errs...)
}

// Close closes both sockets and ends every Read.
func (s *Sockets) Close() error {
	var errs []error
	for _, sock := range []socket{s.v4, s.v6} {
		if sock != nil {
			errs = append(errs, sock.close())
		}
	}
	return errors.Join(errs...)
}

// listen opens a UDP socket. network is "udp4" or "udp6"; a "udp6" socket accepts no
// IPv4.
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

// growBuffers sets the largest buffers that the system grants without privileges.
// Some systems clamp a request that is too large, others refuse it.
func growBuffers(c *net.UDPConn) {
	for _, set := range []func(int) error{c.SetReadBuffer, c.SetWriteBuffer} {
		for size := bufferSize; size >= 1<<17 && set(size) != nil; size /= 2 {
		}
	}
}
