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
	gicmp "gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"

	"nexd/internal/packet"
	"nexd/mesh"
	"nexd/netstack/gvisor"
	"nexd/netstack/inbound"
	"nexd/netstack/link"
	"nexd/netstack/repair"
)

// Defaults of Config: bytes, and packets for the batch.
const (
	DefaultBufferSize = 1 << 20
	DefaultMaxReceive = 8 << 20
	DefaultMaxSend    = 6 << 20
	DefaultQueueBytes = 512 << 10
	DefaultBatch      = 44 // one super-segment at the default MTU
)

// scarceReceive is the size at which receive buffers start when memory is scarce.
const scarceReceive = 32 << 10

// Config configures a Net. Zero values mean the defaults.
type Config struct {
	Addresses []netip.Addr // own addresses; SetAddresses can set them later
	MTU       int          // inner MTU; 0 = mesh.DefaultMTU
	Logger    *slog.Logger // nil = discard

	// Socket buffers of a TCP connection start at BufferSize. On long paths they grow
	// with the bandwidth-delay product, up to MaxReceive and MaxSend.
	BufferSize, MaxReceive, MaxSend int

	// Fits returns the size of the largest IP packet that the path to an address
	// carries, 0 for the MTU. TCP sends no larger packets. It is called for each
	// super-segment and must be fast. nil = always the MTU.
	Fits func(netip.Addr) int

	// OnTooBig is told of an ICMPv6 error about a datagram of an open UDP socket: a
	// link behind the peer carries no packets to dst above mtu bytes. TCP knows what to
	// do; UDP does not fragment by it. It must return at once. nil = nobody is told.
	OnTooBig func(dst netip.Addr, mtu int)

	QueueBytes int // bytes of packets that may wait for WireGuard before senders block
	Batch      int // packets that WireGuard moves at a time; it reserves 64 KiB for each

	// MaxBuffer is how many bytes the send buffer of a TCP connection may have now, and how far its
	// receive buffer may grow. Nil: no further limit.
	MaxBuffer func() int
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
	if c.QueueBytes < 64<<10 || c.Batch < 1 || c.Batch > link.MaxBatch {
		return mesh.Errorf(mesh.Invalid, "netstack: a queue of %d bytes or a batch of %d: the queue needs at least 64 KiB, the batch 1 to %d packets", c.QueueBytes, c.Batch, link.MaxBatch)
	}
	c.MaxReceive, c.MaxSend = max(c.MaxReceive, c.BufferSize), max(c.MaxSend, c.BufferSize)
	return nil
}

// Net is a TCP/IP stack. Its methods may be called concurrently.
type Net struct {
	cfg     Config
	stack   *stack.Stack
	link    *link.Link
	ip4     stack.NetworkEndpoint
	ip6     stack.NetworkEndpoint
	repairs *repair.Repairs
	inbound *inbound.Judge
	pings   pings
	buffers *buffers

	dialsFailed atomic.Uint64

	setMu  sync.Mutex // one change of addresses at a time
	done   chan struct{}
	closed atomic.Bool
	local  sync.WaitGroup // the goroutine that delivers packets to own addresses
}

// New makes a stack and starts gVisor's workers, which Close stops.
func New(cfg Config) (*Net, error) {
	if err := cfg.setDefaults(); err != nil {
		return nil, err
	}
	n := &Net{cfg: cfg, done: make(chan struct{}), buffers: newBuffers()}
	n.link = link.New(link.Config{
		MTU: cfg.MTU, QueueBytes: cfg.QueueBytes, Batch: cfg.Batch,
		Deliver: n.deliver,
		TCP:     func(p packet.IP, tcp packet.TCP) bool { return n.repairs.Arrived(p, tcp) },
		ICMP:    n.icmpArrived,
	})
	n.repairs = repair.New(cfg.MTU, n.link.Send, cfg.Fits)
	n.repairs.Spare(cfg.MaxBuffer)
	n.stack = stack.New(stack.Options{
		NetworkProtocols:   []stack.NetworkProtocolFactory{ipv4.NewProtocol, ipv6.NewProtocol},
		TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol, udp.NewProtocol, gicmp.NewProtocol4, gicmp.NewProtocol6},
		HandleLocal:        false, // a promiscuous NIC takes every source for its own; package link loops packets back
	})
	n.repairs.Attach(n.stack, n.link.Again)
	n.inbound = n.newInbound()
	n.local.Go(n.link.DeliverLocal)
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
	// The link is its own queueing discipline, because the default one allocates a
	// list for every packet.
	if err := n.stack.CreateNICWithOptions(gvisor.NIC, n.link, stack.NICOptions{Name: "mesh", QDisc: n.link}); err != nil {
		return mesh.Errorf(mesh.Internal, "netstack: create interface: %v", err)
	}
	// Accept any destination and send from any source. Otherwise each flow to an
	// advertised prefix would need its address added and removed.
	for name, set := range map[string]func(tcpip.NICID, bool) tcpip.Error{
		"promiscuous": n.stack.SetPromiscuousMode, "spoofing": n.stack.SetSpoofing,
	} {
		if err := set(gvisor.NIC, true); err != nil {
			return mesh.Errorf(mesh.Internal, "netstack: %s mode: %v", name, err)
		}
	}
	n.stack.SetRouteTable([]tcpip.Route{
		{Destination: header.IPv4EmptySubnet, NIC: gvisor.NIC, MTU: n.link.RouteMTU(true)},
		{Destination: header.IPv6EmptySubnet, NIC: gvisor.NIC, MTU: n.link.RouteMTU(false)},
	})
	var err4, err6 tcpip.Error
	n.ip4, err4 = n.stack.GetNetworkEndpoint(gvisor.NIC, ipv4.ProtocolNumber)
	n.ip6, err6 = n.stack.GetNetworkEndpoint(gvisor.NIC, ipv6.ProtocolNumber)
	if err4 != nil || err6 != nil {
		return mesh.Errorf(mesh.Internal, "netstack: interface without IP: %v, %v", err4, err6)
	}
	return n.SetAddresses(n.cfg.Addresses)
}

// Device returns WireGuard's side of the stack. There is one; it works until it or
// the Net is closed.
func (n *Net) Device() tun.Device { return n.link.Device() }

// Close ends every connection, listener and pending call, and returns when gVisor's
// workers have stopped.
func (n *Net) Close() error {
	n.setMu.Lock()
	if n.closed.Swap(true) {
		n.setMu.Unlock()
		return nil
	}
	close(n.done)
	n.setMu.Unlock()
	n.link.Shutdown() // first, because a sender blocked on its queue holds its endpoint's lock
	n.repairs.Close()
	n.inbound.Close()
	n.local.Wait()
	n.stack.Close()
	n.stack.Wait()
	n.link.Release()
	return nil
}

func (n *Net) isClosed() bool { return n.closed.Load() }

// deliver passes a packet to the stack and releases it. verified says that its
// transport checksum was checked and is correct.
func (n *Net) deliver(pkt *stack.PacketBuffer, verified bool) {
	pkt.RXChecksumValidated = verified
	// This bypasses the NIC, which would overwrite RXChecksumValidated with the
	// capability of its link, the same for all packets.
	if pkt.NetworkProtocolNumber == ipv4.ProtocolNumber {
		n.ip4.HandlePacket(pkt)
	} else {
		n.ip6.HandlePacket(pkt)
	}
	pkt.DecRef()
}
