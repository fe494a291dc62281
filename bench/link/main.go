//go:build linux

package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "link:", err)
		os.Exit(1)
	}
}

// maxPacket is larger than any MTU of the devices.
const maxPacket = 1 << 16

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	f := flag.NewFlagSet("link", flag.ContinueOnError)
	f.SetOutput(stderr)
	a, b := f.String("a", "", "namespace of one end"), f.String("b", "", "namespace of the other end")
	dev := f.String("dev", "eth0", "name of the devices")
	delay := f.Duration("delay", 20*time.Millisecond, "one way")
	loss := f.Float64("loss", 0, "share of packets lost, each way, 0 to 1")
	rate := f.Int("rate", 0, "Mbit/s, 0 = unlimited")
	queue := f.Int("queue", 32<<20, "bytes that may be on the way, each way")
	seed := f.Uint64("seed", 1, "of the losses")
	if err := f.Parse(args); err != nil {
		return err
	}
	fdA, err := openTUN(*a, *dev)
	if err != nil {
		return err
	}
	fdB, err := openTUN(*b, *dev)
	if err != nil {
		return err
	}
	s := shaper{delay: *delay, loss: *loss, rate: float64(*rate) * 1e6 / 8, limit: *queue}
	failed := make(chan error, 4)
	begin := time.Now()
	for way, ends := range [][2]int{{fdA, fdB}, {fdB, fdA}} {
		s.rng = rand.New(rand.NewPCG(*seed, uint64(way)))
		l := newLine(s)
		go func() { failed <- receive(ends[0], l, begin) }()
		go func() { failed <- deliver(ends[1], l, begin) }()
	}
	fmt.Fprintln(stdout, "ready")
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
		return nil // the process ends, and its devices with it
	}
}

// receive queues all packets from the device.
func receive(fd int, l *line, begin time.Time) error {
	buf := make([]byte, maxPacket)
	for {
		n, err := unix.Read(fd, buf)
		switch err {
		case nil:
			l.put(time.Since(begin), buf[:n])
		case unix.EINTR, unix.EIO: // EIO: not up yet
		default:
			return fmt.Errorf("read: %w", err)
		}
	}
}

// burst is the number of packets that deliver writes before it checks the clock again.
const burst = 64

// deliver writes packets to the device when they are due.
func deliver(fd int, l *line, begin time.Time) error {
	out := make([]packet, 0, burst)
	for {
		due, wait := l.take(time.Since(begin), out)
		if wait > 0 {
			// The kernel's sleep, because the runtime's timers have a resolution of a millisecond.
			ts := unix.NsecToTimespec(int64(wait))
			unix.Nanosleep(&ts, nil)
		}
		for _, p := range due {
			if _, err := unix.Write(fd, p.data); err != nil && err != unix.EIO && err != unix.ENOBUFS && err != unix.EINVAL {
				return fmt.Errorf("write: %w", err)
			}
		}
		l.giveBack(due)
	}
}
