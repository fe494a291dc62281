package pace

import (
	"sync"

	"golang.zx2c4.com/wireguard/tun"
)

// Defaults of Limits: a few reads in each direction, so that WireGuard encrypts one batch
// while another is sent. Half as many cost a fifth of the throughput; twice as many cost
// memory and gain nothing (docs/performance.md).
const (
	DefaultOut = 144
	DefaultIn  = 192
)

// Limits bound the packets inside WireGuard in each direction; 0 is the default.
type Limits struct{ Out, In int }

// Device is a tun.Device around another one.
type Device struct {
	tun.Device
	out, in credit
	reader  waiter
	closed  chan struct{}
	once    sync.Once
}

// New wraps inner. It holds nothing back before Sent and Admit are called.
func New(inner tun.Device, l Limits) *Device {
	if l.Out <= 0 {
		l.Out = DefaultOut
	}
	if l.In <= 0 {
		l.In = DefaultIn
	}
	d := &Device{Device: inner, closed: make(chan struct{})}
	d.out.init(l.Out, d.closed)
	d.in.init(l.In, d.closed)
	d.reader.c = &d.out
	return d
}

// Read implements tun.Device. WireGuard reads from one goroutine.
func (d *Device) Read(bufs [][]byte, sizes []int, offset int) (int, error) {
	d.reader.wait()
	n, err := d.Device.Read(bufs, sizes, offset)
	d.out.take(n)
	return n, err
}

// Write implements tun.Device.
func (d *Device) Write(bufs [][]byte, offset int) (int, error) {
	n, err := d.Device.Write(bufs, offset)
	d.in.give(len(bufs))
	return n, err
}

// Sent reports data packets that the bind has sent, or failed to send.
func (d *Device) Sent(packets int) { d.out.give(packets) }

// Received reports data packets that the bind passed to WireGuard.
func (d *Device) Received(packets int) { d.in.take(packets) }

// Admitter makes a function for one receiving goroutine of the bind. The function waits until
// the goroutine may receive more packets.
func (d *Device) Admitter() func() {
	w := &waiter{c: &d.in}
	return w.wait
}

// Close implements tun.Device. It ends every wait.
func (d *Device) Close() error {
	d.once.Do(func() { close(d.closed) })
	return d.Device.Close()
}
