package netstack

import (
	"os"
	"sync"

	"golang.zx2c4.com/wireguard/tun"

	"nexd/internal/packet"
)

const (
	// maxBatch is what WireGuard can be told to move at a time. Far fewer are
	// better: each has a buffer of 64 KiB, and those of a small batch stay in the
	// processor's caches (docs/performance.md).
	maxBatch = 128
	// enoughPackets ends a Read: more would only make the batch leave the cache
	// and keep the cipher waiting.
	enoughPackets = 32
)

// device is the tun.Device that WireGuard reads what the stack sends from, and
// writes what came from peers to.
type device struct {
	n      *Net
	events chan tun.Event
	once   sync.Once

	readMu sync.Mutex // one super-segment is split at a time
	seg    segmenter

	runs  sync.Pool // *run: peers write at the same time
	holes holes
}

var _ tun.Device = (*device)(nil)

func newDevice(n *Net) *device {
	d := &device{n: n, events: make(chan tun.Event, 1)}
	d.runs.New = func() any { return new(run) }
	d.events <- tun.EventUp
	return d
}

// Read waits for packets of the stack and fills bufs with the packets of one
// super-segment, or with several small ones.
func (d *device) Read(bufs [][]byte, sizes []int, offset int) (int, error) {
	d.readMu.Lock()
	defer d.readMu.Unlock()
	count := 0
	for count < len(bufs) && count < enoughPackets {
		if !d.seg.busy() {
			pkt := d.n.link.out.pop(count == 0)
			if pkt == nil {
				break
			}
			d.seg.load(pkt)
		}
		for count < len(bufs) && d.seg.busy() {
			size := d.seg.next(bufs[count][offset:])
			if size == 0 {
				d.n.stats.txDropped.Add(1)
				continue
			}
			sizes[count] = size
			count++
			d.n.stats.txBytes.Add(uint64(size))
		}
	}
	if count == 0 {
		return 0, os.ErrClosed
	}
	d.n.stats.txPackets.Add(uint64(count))
	return count, nil
}

// Write hands packets that came from peers to the stack. What is malformed or
// has a wrong checksum is dropped and counted, never an error: a peer must not
// be able to make WireGuard think that its device is broken.
func (d *device) Write(bufs [][]byte, offset int) (int, error) {
	if d.n.isClosed() {
		return 0, os.ErrClosed
	}
	r := d.runs.Get().(*run)
	defer d.runs.Put(r)
	bytes := 0
	for _, b := range bufs {
		p, ok := d.n.verify(b[offset:])
		if !ok {
			continue
		}
		bytes += p.Len()
		tcp, isTCP := p.TCP()
		if isTCP && d.n.recoveries.any() {
			d.n.recoveries.arrived(p, tcp)
		}
		if isTCP && r.goesOn(p, tcp) && joinable(p, tcp) {
			r.add(tcp)
			continue
		}
		d.flush(r)
		if isTCP && joinable(p, tcp) {
			r.begin(p, tcp, &d.holes)
			continue
		}
		d.n.receive(p)
	}
	d.flush(r)
	d.n.stats.rxPackets.Add(uint64(len(bufs)))
	d.n.stats.rxBytes.Add(uint64(bytes))
	return len(bufs), nil
}

func (d *device) flush(r *run) {
	if r.empty() {
		return
	}
	d.holes.ended(r.flow, r.next)
	d.n.deliver(r.join(), true)
}

// verify parses a packet from a peer and checks every checksum that can be
// checked now.
func (n *Net) verify(b []byte) (packet.IP, bool) {
	p, err := packet.ParseIP(b)
	if err != nil {
		n.stats.rxMalformed.Add(1)
		return packet.IP{}, false
	}
	if !p.HeaderChecksumOK() || !p.TransportChecksumOK() {
		n.stats.rxChecksum.Add(1)
		return packet.IP{}, false
	}
	return p, true
}

// BatchSize is how many buffers Read and Write can use at once.
func (d *device) BatchSize() int { return d.n.cfg.Batch }

// MTU is the largest packet Read returns.
func (d *device) MTU() (int, error) { return int(d.n.link.mtu), nil }

// Name is for log lines; there is no such interface on the host.
func (d *device) Name() (string, error) { return "netstack", nil }

// File is nil: there is no descriptor behind this device.
func (d *device) File() *os.File { return nil }

// Events sends EventUp once.
func (d *device) Events() <-chan tun.Event { return d.events }

// Close ends Read and the flow of packets; connections live until Net.Close but
// reach nobody any more.
func (d *device) Close() error {
	d.once.Do(func() {
		d.n.link.out.close()
		close(d.events)
	})
	return nil
}

// discard lets go of a super-segment that was read only in part.
func (d *device) discard() {
	d.readMu.Lock()
	defer d.readMu.Unlock()
	if d.seg.busy() {
		d.seg.release()
	}
}
