//go:build linux

package load

import (
	"flag"
	"io"
	"net"
	"net/rpc"
	"sync/atomic"
)

// loadServer serves every connection according to its first byte.
type loadServer struct {
	received  atomic.Int64
	datagrams atomic.Int64
}

// RunServer serves until its standard input ends.
func RunServer(args []string, stdin io.Reader, stdout io.Writer) error {
	f := flag.NewFlagSet(RoleServer, flag.ContinueOnError)
	listen := f.String("listen", "", "address")
	if err := f.Parse(args); err != nil {
		return err
	}
	ln, err := net.Listen("tcp", *listen)
	if err != nil {
		return err
	}
	defer ln.Close()
	udp, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(ln.Addr().(*net.TCPAddr).AddrPort()))
	if err != nil {
		return err
	}
	defer udp.Close()
	s := new(loadServer)
	go s.serveDatagrams(udp)
	go s.serve(ln)
	return answer(&ServerCalls{s}, stdin, stdout)
}

// answer serves the benchmark's calls until it closes standard input.
func answer(calls any, stdin io.Reader, stdout io.Writer) error {
	srv := rpc.NewServer()
	if err := srv.RegisterName("Load", calls); err != nil {
		return err
	}
	srv.ServeConn(Stdio{io.NopCloser(stdin), nopCloser{stdout}})
	return nil
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }

func (s *loadServer) serve(ln net.Listener) {
	for {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		go s.handle(c)
	}
}

func (s *loadServer) handle(c net.Conn) {
	defer c.Close()
	block := make([]byte, echoSize) // small: a thousand connections wait here
	if _, err := io.ReadFull(c, block[:1]); err != nil {
		return
	}
	switch block[0] {
	case wantDown:
		pour(c)
	case wantUp:
		drain(c, func(n int) { s.received.Add(int64(n)) })
	case wantEcho:
		for {
			if _, err := io.ReadFull(c, block); err != nil {
				return
			}
			if _, err := c.Write(block); err != nil {
				return
			}
		}
	case wantOne:
		c.Write(block[:1])
		c.Read(block)
	}
}

// ServerCalls are the methods of a load server, exported for net/rpc.
type ServerCalls struct{ s *loadServer }

// Received returns the number of bytes that clients have sent.
func (c *ServerCalls) Received(_ struct{}, n *int64) error {
	*n = c.s.received.Load()
	return nil
}
