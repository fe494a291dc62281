package link

import (
	"os"
	"sync"

	"golang.zx2c4.com/wireguard/tun"

	"nexd/internal/packet"
	"nexd/netstack/gvisor"
)

const (
	// MaxBatch is the largest batch that WireGuard can be told to use. Smaller
	// batches are better: each packet has a buffer of 64 KiB, and the buffers of a
	// small batch stay in the processor's caches (docs/performance.md).
	MaxBatch = 128

	// maxRead is the number of packets that end a Read: one super-segment at the default
	// MTU. With more packets the batch would leave the cache and keep the cipher
	// waiting. With fewer, the receiver would join less than a super-segment and put it
	// into a buffer of 64 KiB, which gVisor clears, all the same.
	maxRead = 44
)

// device is WireGuard's side of a Link.
type device struct {
	l      *Link
	events chan tun.Event
	once   sync.Once

	readMu sync.Mutex // one Read at a time; guards seg
	seg    segmenter

	runs sync.Pool // *run; Write is called for several peers at the same time
	gaps gapTable
}

var _ tun.Device = (*device)(nil)

func newDevice(l *Link) *device {
	d := &device{l: l, events: make(chan tun.Event, 1)}
	d.runs.New = func() any { return new(run) }
	d.events <- tun.EventUp
	return d
}

// Read waits for packets of the stack and fills bufs with the packets of one
// super-segment, or with several small packets.
func (d *device) Read(bufs [][]byte, sizes []int, offset int) (int, error) {
	d.readMu.Lock()
	defer d.readMu.Unlock()
	count, bytes := 0, 0
	for count < len(bufs) && count < maxRead {
		if !d.seg.busy() {
			pkt := d.l.out.pop(count == 0)
			if pkt == nil {
				break
			}
			d.seg.load(pkt)
		}
		for count < len(bufs) && d.seg.busy() {
			size := d.seg.next(bufs[count][offset:])
			if size == 0 {
				d.l.stats.txOversize.Add(1)
				continue
			}
			sizes[count] = size
			count++
			bytes += size
		}
	}
	if count == 0 {
		return 0, os.ErrClosed
	}
	d.l.stats.txPackets.Add(uint64(count))
	d.l.stats.txBytes.Add(uint64(bytes))
	return count, nil
}

// Write hands packets from peers to the stack. A malformed packet or one with a
// wrong checksum is dropped and counted. It never causes an error, because WireGuard
// would take an error for a broken device and a peer could provoke it.
func (d *device) Write(bufs [][]byte, offset int) (int, error) {
	if d.l.closed.Load() {
		return 0, os.ErrClosed
	}
	r := d.runs.Get().(*run)
	defer d.runs.Put(r)
	bytes := 0
	for _, b := range bufs {
		p, ok := d.l.verify(b[offset:])
		if !ok {
			continue
		}
		bytes += p.Len()
		tcp, isTCP := p.TCP()
		if isTCP && d.l.cfg.TCP(p, tcp) {
			continue
		}
		if isTCP && r.goesOn(p, tcp) && joinable(p, tcp) {
			r.add(tcp)
			continue
		}
		d.flush(r)
		if isTCP && joinable(p, tcp) {
			r.begin(p, tcp, &d.gaps)
			continue
		}
		d.l.receive(p)
	}
	d.flush(r)
	d.l.stats.rxPackets.Add(uint64(len(bufs)))
	d.l.stats.rxBytes.Add(uint64(bytes))
	return len(bufs), nil
}

func (d *device) flush(r *run) {
	if r.empty() {
		return
	}
	d.gaps.ended(r.flow, r.next)
	d.l.cfg.Deliver(r.join(), true)
}

// verify parses a packet from a peer and checks every checksum that can be checked
// before reassembly.
func (l *Link) verify(b []byte) (packet.IP, bool) {
	p, err := packet.ParseIP(b)
	if err != nil {
		l.stats.rxMalformed.Add(1)
		return packet.IP{}, false
	}
	if !p.HeaderChecksumOK() || !p.TransportChecksumOK() {
		l.stats.rxChecksum.Add(1)
		return packet.IP{}, false
	}
	return p, true
}

// receive delivers a packet that is not joined with others, which is every packet
// except plain TCP data.
func (l *Link) receive(p packet.IP) {
	if p.Proto() == packet.ProtoICMP || p.Proto() == packet.ProtoICMPv6 {
		l.cfg.ICMP(p)
	}
	l.segments.raise(p)
	l.cfg.Deliver(gvisor.CopyPacket(p), !p.IsFragment())
}

// Again delivers a packet that Config.TCP has kept. Of its connection, no later packet may have
// arrived.
func (l *Link) Again(b []byte) {
	if p, err := packet.ParseIP(b); err == nil && !l.closed.Load() {
		l.receive(p)
	}
}

// BatchSize is the number of buffers that Read and Write can use at once.
func (d *device) BatchSize() int { return d.l.cfg.Batch }

// MTU is the size of the largest packet that Read returns.
func (d *device) MTU() (int, error) { return d.l.cfg.MTU, nil }

// Name is for log lines; the host has no interface of this name.
func (d *device) Name() (string, error) { return "netstack", nil }

// File is nil: there is no file descriptor behind this device.
func (d *device) File() *os.File { return nil }

// Events sends EventUp once.
func (d *device) Events() <-chan tun.Event { return d.events }

// Close makes Read return and stops outgoing packets. Connections stay open, but
// reach no peer any more.
func (d *device) Close() error {
	d.once.Do(func() {
		d.l.out.close()
		close(d.events)
	})
	return nil
}

func (d *device) release() {
	d.readMu.Lock()
	defer d.readMu.Unlock()
	if d.seg.busy() {
		d.seg.release()
	}
}
