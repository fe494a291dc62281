//go:build linux

package load

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"
)

// The first byte of a datagram tells the server what to do; a number follows.
const (
	wantAnswer = 'a' // send it back
	wantCount  = 'c' // count it
)

const (
	datagramSize = 1200 // bytes of payload, which fit every path
	inFlight     = 64   // datagrams that wait for their answers
	// AnswerLimit is the time after which a missing answer counts as lost.
	AnswerLimit = 200 * time.Millisecond
	// steadyRate is the rate for measuring loss, in datagrams per second.
	steadyRate = 20_000
)

// DatagramFlow describes a flow of datagrams: through UDP ASSOCIATE of the proxy, or to an
// address.
type DatagramFlow struct {
	To        netip.AddrPort
	Associate bool
	Window    time.Duration
}

// DatagramCount is the result of a flow.
type DatagramCount struct {
	Sent, Lost int
	Elapsed    time.Duration
}

// Answered sends datagrams, of which at most inFlight wait for their answers.
func (c *ClientCalls) Answered(f DatagramFlow, r *DatagramCount) error {
	conn, err := c.openDatagrams(f)
	if err != nil {
		return err
	}
	defer conn.Close()
	out, in := make([]byte, datagramSize), make([]byte, datagramSize+maxSOCKSHeader)
	out[0] = wantAnswer
	var next, oldest uint64 // the next number to send; all numbers before oldest are answered or lost
	waiting := 0
	began := time.Now()
	for end := began.Add(f.Window); waiting > 0 || time.Now().Before(end); {
		for waiting < inFlight && time.Now().Before(end) {
			binary.BigEndian.PutUint64(out[1:], next)
			if _, err := conn.Write(out); err != nil {
				return err
			}
			next, waiting = next+1, waiting+1
		}
		conn.SetReadDeadline(time.Now().Add(AnswerLimit))
		n, err := conn.Read(in)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			r.Lost += waiting
			oldest, waiting = next, 0
		case err != nil:
			return err
		case n == datagramSize && binary.BigEndian.Uint64(in[1:]) >= oldest:
			waiting--
		}
	}
	r.Sent, r.Elapsed = int(next), time.Since(began)
	return nil
}

// Steady sends datagrams at steadyRate, which the server counts.
func (c *ClientCalls) Steady(f DatagramFlow, r *DatagramCount) error {
	conn, err := c.openDatagrams(f)
	if err != nil {
		return err
	}
	defer conn.Close()
	out := make([]byte, datagramSize)
	out[0] = wantCount
	began := time.Now()
	for {
		took := time.Since(began)
		if took >= f.Window {
			r.Elapsed = took
			return nil
		}
		for due := int(took.Seconds() * steadyRate); r.Sent < due; r.Sent++ {
			if _, err := conn.Write(out); err != nil {
				return err
			}
		}
		time.Sleep(time.Millisecond)
	}
}

// openDatagrams waits for one answer, so the result does not include the set-up.
func (c *ClientCalls) openDatagrams(f DatagramFlow) (conn net.Conn, err error) {
	if f.Associate {
		conn, err = c.dialer.associate()
	} else {
		conn, err = net.Dial("udp", f.To.String())
	}
	if err != nil {
		return nil, err
	}
	probe := make([]byte, datagramSize+maxSOCKSHeader)
	probe[0] = wantAnswer
	for range 20 {
		if _, err = conn.Write(probe[:datagramSize]); err == nil {
			conn.SetReadDeadline(time.Now().Add(AnswerLimit))
			if _, err = conn.Read(probe); err == nil {
				return conn, nil
			}
		}
	}
	conn.Close()
	return nil, fmt.Errorf("no datagram is answered: %w", err)
}

// serveDatagrams answers or counts each datagram according to its first byte.
func (s *loadServer) serveDatagrams(pc *net.UDPConn) {
	pc.SetReadBuffer(4 << 20) // so no datagrams are lost here
	buf := make([]byte, 64<<10)
	for {
		n, from, err := pc.ReadFromUDPAddrPort(buf)
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil || n == 0: // of one datagram
		case buf[0] == wantAnswer:
			pc.WriteToUDPAddrPort(buf[:n], from)
		case buf[0] == wantCount:
			s.datagrams.Add(1)
		}
	}
}

// Datagrams returns the number of counted datagrams.
func (c *ServerCalls) Datagrams(_ struct{}, n *int64) error {
	*n = c.s.datagrams.Load()
	return nil
}
