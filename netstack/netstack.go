package netstack

import (
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"

	"golang.zx2c4.com/wireguard/tun"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"

	"nexd/internal/crew"
	"nexd/mesh"
)

// Defaults of Config, in bytes but for the batch.
const (
	DefaultBufferSize = 1 << 20
	DefaultMaxReceive = 8 << 20
	DefaultMaxSend    = 6 << 20
	DefaultQueueBytes = 512 << 10
	DefaultBatch      = 32
)

// Config says how a Net is made. The zero value is a good one.
type Config struct {
	Addresses []netip.Addr // own addresses; may be empty, then set later
	MTU       int          // inner MTU; 0 = mesh.DefaultMTU
	Logger    *slog.Logger // nil = discard

	// Socket buffers of a TCP connection start at BufferSize and grow on long
	// paths, as far as rate and round trip ask for, to MaxReceive and MaxSend.
	BufferSize, MaxReceive, MaxSend int

	QueueBytes int // of packets that wait for WireGuard; more make their senders wait
	Batch      int // packets WireGuard moves at a time; it reserves 64 KiB for each
}

func (c *Config) setDefaults() error {
	for _, d := range []struct {
		field *int
		value int
	}{
		{&c.MTU, mesh.DefaultMTU}, {&c.BufferSize, DefaultBufferSize}, {&c.MaxReceive, DefaultMaxReceive}, {&c.MaxSend, DefaultMaxSend},
		{&c.QueueBytes, DefaultQueueBytes}, {&c.Batch, DefaultBatch},
	} {
		if *d.field == 0 {
			*d.field = d.value
		}
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.MTU < header.IPv6MinimumMTU || c.MTU > 65000 {
		return mesh.Errorf(mesh.Invalid, "netstack: MTU %d: not between %d and 65000", c.MTU, header.IPv6MinimumMTU)
	}
	if c.BufferSize < 64<<10 || c.MaxReceive > 64<<20 || c.MaxSend > 64<<20 {
		return mesh.Errorf(mesh.Invalid, "netstack: buffer sizes %d, %d, %d: not between 64 KiB and 64 MiB", c.BufferSize, c.MaxReceive, c.MaxSend)
	}
	if c.QueueBytes < 64<<10 || c.Batch < 1 || c.Batch > maxBatch {
		return mesh.Errorf(mesh.Invalid, "netstack: a queue of %d bytes or a batch of %d: not from 64 KiB on and between 1 and %d", c.QueueBytes, c.Batch, maxBatch)
	}
	c.MaxReceive, c.MaxSend = max(c.MaxReceive, c.BufferSize), max(c.MaxSend, c.BufferSize)
	return nil
}

// Net is a TCP/IP stack of its own. Its methods may be called at the same time.
type Net struct {
	cfg        Config
	log        *slog.Logger
	stack      *stack.Stack
	link       *link
	device     *device
	ip4        stack.NetworkEndpoint
	ip6        stack.NetworkEndpoint
	stats      counters
	paths      pathTable
	recoveries recoveries
	buffers    *buffers
	inbound    inbounds
	crew       crew.Crew // asks the judge of inbound connections
	pings      pings

	setMu  sync.Mutex // one change of addresses at a time
	done   chan struct{}
	closed atomic.Bool
	local  sync.WaitGroup // the goroutine that delivers packets to own addresses
}

// New makes a stack and starts gVisor's workers, which Close ends.
func New(cfg Config) (*Net, error) {
	if err := cfg.setDefaults(); err != nil {
		return nil, err
	}
	n := &Net{
		cfg:     cfg,
		log:     cfg.Logger,
		link:    &link{mtu: uint32(cfg.MTU), wire: newWire(cfg.MTU), out: newEgress(cfg.QueueBytes, false), local: newEgress(localBytes, true)},
		done:    make(chan struct{}),
		buffers: newBuffers(),
	}
	n.link.hold.out = n.link.out
	n.link.own.Store(new(addressSet))
	n.device = newDevice(n)
	n.stack = stack.New(stack.Options{
		NetworkProtocols:   []stack.NetworkProtocolFactory{ipv4.NewProtocol, ipv6.NewProtocol},
		TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol, udp.NewProtocol, icmp.NewProtocol4, icmp.NewProtocol6},
		HandleLocal:        false, // with a promiscuous NIC it takes every source for our own; link loops instead
	})
	n.local.Go(n.deliverLocal)
	if err := n.setUp(); err != nil {
		n.Close()
		return nil, err
	}
	return n, nil
}

func (n *Net) setUp() error {
	if err := setTCPOptions(n.stack, n.cfg); err != nil {
		return err
	}
	// The link is its own queueing discipline: the default one allocates a list
	// for every packet.
	if err := n.stack.CreateNICWithOptions(nicID, n.link, stack.NICOptions{Name: "mesh", QDisc: n.link}); err != nil {
		return mesh.Errorf(mesh.Internal, "netstack: create interface: %v", err)
	}
	// Any destination comes in and any source goes out, so flows to advertised
	// prefixes need no address added and removed for each.
	for name, set := range map[string]func(tcpip.NICID, bool) tcpip.Error{
		"promiscuous": n.stack.SetPromiscuousMode, "spoofing": n.stack.SetSpoofing,
	} {
		if err := set(nicID, true); err != nil {
			return mesh.Errorf(mesh.Internal, "netstack: %s mode: %v", name, err)
		}
	}
	n.stack.SetRouteTable([]tcpip.Route{
		{Destination: header.IPv4EmptySubnet, NIC: nicID, MTU: uint32(n.link.wire.segment(n.cfg.MTU, overhead4))},
		{Destination: header.IPv6EmptySubnet, NIC: nicID, MTU: uint32(n.link.wire.segment(n.cfg.MTU, overhead6))},
	})
	var err4, err6 tcpip.Error
	n.ip4, err4 = n.stack.GetNetworkEndpoint(nicID, ipv4.ProtocolNumber)
	n.ip6, err6 = n.stack.GetNetworkEndpoint(nicID, ipv6.ProtocolNumber)
	if err4 != nil || err6 != nil {
		return mesh.Errorf(mesh.Internal, "netstack: interface without IP: %v, %v", err4, err6)
	}
	n.handleTransport()
	return n.SetAddresses(n.cfg.Addresses)
}

// Device is the WireGuard side. There is one; it may be read and written until
// it or the Net is closed.
func (n *Net) Device() tun.Device { return n.device }

// Close ends every connection, listener and pending call, and returns when
// gVisor's workers are gone.
func (n *Net) Close() error {
	n.setMu.Lock()
	if n.closed.Swap(true) {
		n.setMu.Unlock()
		return nil
	}
	close(n.done)
	n.setMu.Unlock()
	n.device.Close() // first: a sender blocked on the queue holds its endpoint's lock
	n.link.local.close()
	n.link.hold.close()
	n.inbound.closePending()
	n.crew.Close()
	n.local.Wait()
	n.stack.Close()
	n.stack.Wait()
	n.device.discard()
	return nil
}

func (n *Net) isClosed() bool { return n.closed.Load() }

// deliver gives a packet to the stack and lets go of it. verified says that its
// transport checksum was looked at and is right.
func (n *Net) deliver(pkt *stack.PacketBuffer, verified bool) {
	pkt.RXChecksumValidated = verified
	// Not through the NIC, which would overwrite RXChecksumValidated with the one
	// answer of its link for all packets.
	if pkt.NetworkProtocolNumber == ipv4.ProtocolNumber {
		n.ip4.HandlePacket(pkt)
	} else {
		n.ip6.HandlePacket(pkt)
	}
	pkt.DecRef()
}

// deliverLocal takes packets to own addresses back into the stack. It is a
// goroutine because senders hold locks that receivers need.
func (n *Net) deliverLocal() {
	for {
		pkt := n.link.local.pop(true)
		if pkt == nil {
			return
		}
		in := pkt.CloneToInbound()
		in.NetworkProtocolNumber = pkt.NetworkProtocolNumber
		pkt.DecRef()
		n.deliver(in, true)
	}
}
