package main

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strconv"
	"syscall"
	"time"

	"nexd/internal/hostport"
	"nexd/internal/program"
)

type ncCmd struct {
	Host string        `arg:"" help:"Node name, mesh address or address in an advertised prefix."`
	Port uint16        `arg:"" help:"TCP port."`
	Wait time.Duration `short:"w" default:"30s" help:"Connection timeout." env:"-"`
}

// Run copies between standard input, the target and standard output until the target has
// closed its side and the input has ended. It does not wait for the end of a terminal.
func (n *ncCmd) Run(ctx context.Context, c *cli) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	host := n.Host
	if a, ok := hostport.Literal(host); ok {
		host = a.String()
	}
	dialing, cancel := context.WithTimeout(ctx, n.Wait)
	defer cancel()
	s, err := client.Dial(dialing, net.JoinHostPort(host, strconv.Itoa(int(n.Port))))
	if err != nil {
		return asked(err)
	}
	defer s.Close()
	defer context.AfterFunc(ctx, func() { s.Close() })()
	sent := make(chan error, 1)
	go func() {
		_, err := io.Copy(s.UnixConn, c.std.In)
		s.CloseWrite() // an error means that it is already closed
		sent <- err
	}()
	_, err = io.Copy(c.std.Out, s)
	if ctx.Err() != nil {
		return program.ErrReported // the user interrupted it
	}
	if err != nil {
		return err
	}
	if terminal(c.std.In) {
		return nil
	}
	if c, ok := c.std.Out.(io.Closer); ok {
		c.Close() // the reader need not wait for the end of the input
	}
	select {
	case <-ctx.Done(): // the input may never end
		return program.ErrReported
	case err := <-sent:
		if err != nil && !errors.Is(err, syscall.EPIPE) && !errors.Is(err, net.ErrClosed) {
			return err
		}
		return nil
	}
}

func terminal(in io.Reader) bool {
	f, ok := in.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
