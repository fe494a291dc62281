package tundev

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/tun"

	"nexd/mesh"
)

// Device is a kernel interface whose packets this process reads and writes. Its methods
// are safe for concurrent use.
type Device struct {
	name  string
	index int
	tun   tun.Device
	nl    *netlink.Handle
	log   *slog.Logger

	turn sync.Mutex // one look at the kernel at a time; held over netlink calls

	mu      sync.Mutex
	table   int  // routing table, and priority of the rules; 0 until it is needed
	set     bool // Set was called: addrs and routes are the wanted state
	closed  bool
	addrs   []netip.Addr
	routes  []netip.Prefix
	mtu     map[netip.Prefix]int // of routes that have one of their own
	skipped []Skipped
	noSix   bool // the host has no IPv6
}

// New creates the interface, without addresses. The interface disappears with Close or with
// the process. If an interface of that name exists, the error is a Conflict; if privileges
// are missing, it is Denied and names them.
func New(cfg Config) (*Device, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	nl, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, mesh.Errorf(mesh.Unavailable, "tundev: netlink: %w", err)
	}
	d := &Device{name: cfg.Name, nl: nl, log: cfg.Logger}
	if err := d.open(cfg.MTU); err != nil {
		nl.Close()
		return nil, err
	}
	return d, nil
}

func (d *Device) open(mtu int) error {
	removed, err := cleanRules(d.nl)
	if err != nil {
		return err
	}
	for _, r := range removed {
		d.log.Info("removed leftovers of a killed nexd", "what", r)
	}
	f, err := openTUN(d.name)
	if err != nil {
		return err
	}
	if d.tun, err = tun.CreateTUNFromFile(f, mtu); err != nil {
		f.Close()
		return mesh.Errorf(mesh.Unavailable, "tundev: interface %s: %w", d.name, err)
	}
	if err := d.bringUp(); err != nil {
		d.closeTUN()
		return mesh.Errorf(mesh.Unavailable, "tundev: interface %s: %w", d.name, err)
	}
	return nil
}

// openTUN creates the interface, and never takes over an existing one.
func openTUN(name string) (*os.File, error) {
	fd, err := unix.Open(devicePath, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, lacks(err)
	}
	ifr, err := unix.NewIfreq(name)
	if err == nil {
		ifr.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI | unix.IFF_VNET_HDR | unix.IFF_TUN_EXCL)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, ifr)
	}
	if err == nil {
		err = unix.SetNonblock(fd, true)
	}
	if err == nil {
		return os.NewFile(uintptr(fd), devicePath), nil
	}
	unix.Close(fd)
	switch {
	case errors.Is(err, unix.EBUSY):
		return nil, mesh.Errorf(mesh.Conflict, "tundev: %w: %s", ErrExists, name)
	case errors.Is(err, unix.EPERM):
		return nil, lacks(err)
	}
	return nil, mesh.Errorf(mesh.Unavailable, "tundev: create interface %s: %w", name, err)
}

// bringUp sets the link up, without the link-local address that the kernel would add,
// because nobody answers there.
func (d *Device) bringUp() error {
	link, err := d.nl.LinkByName(d.name)
	if err != nil {
		return err
	}
	d.index = link.Attrs().Index
	_ = d.nl.LinkSetIP6AddrGenMode(link, addrGenNone) // fails without IPv6
	return d.nl.LinkSetUp(link)
}

const addrGenNone = 1 // IN6_ADDR_GEN_MODE_NONE

// Device returns the tun.Device for WireGuard, which may close it.
func (d *Device) Device() tun.Device { return d.tun }

// Name is the interface's name.
func (d *Device) Name() string { return d.name }

// Table is the number of the routing table and the priority of the rules; 0 before the
// first Set.
func (d *Device) Table() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.table
}

// Set gives the interface exactly these addresses and routes, except for routes that
// overlap the host's own networks, which it skips. Run restores this state after external
// changes.
func (d *Device) Set(addrs []netip.Addr, routes []netip.Prefix) ([]Skipped, error) {
	d.mu.Lock()
	d.set, d.addrs, d.routes = true, slices.Clone(addrs), slices.Clone(routes)
	d.mu.Unlock()
	if err := d.reconcile(); err != nil {
		return nil, err
	}
	return d.Skipped(), nil
}

// SetMTU gives the routes to these prefixes an MTU of their own, and the others that of the
// interface. The kernel then keeps its own packets and forwarded ones within it: it lowers the MSS,
// fragments, or tells the sender. IPv6 routes get at least 1,280.
func (d *Device) SetMTU(mtu map[netip.Prefix]int) error {
	d.mu.Lock()
	same := maps.Equal(d.mtu, mtu)
	d.mtu = maps.Clone(mtu)
	set := d.set
	d.mu.Unlock()
	if same || !set {
		return nil
	}
	return d.reconcile()
}

// routeMTU is the MTU that a route has of its own; 0: none.
func (d *Device) routeMTU(p netip.Prefix) int {
	const minimum6 = 1280 // RFC 8200, section 5
	d.mu.Lock()
	defer d.mu.Unlock()
	mtu := d.mtu[p]
	if mtu > 0 && p.Addr().Is6() {
		return max(mtu, minimum6)
	}
	return mtu
}

// Skipped returns the wanted prefixes that are not routed.
func (d *Device) Skipped() []Skipped {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.skipped)
}

// HasIPv6 reports whether the interface can have IPv6 addresses.
func (d *Device) HasIPv6() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return !d.noSix
}

// Run checks the host whenever its links, addresses, routes or rules change, until ctx
// ends.
func (d *Device) Run(ctx context.Context) error {
	w, err := newWatch()
	if err != nil {
		return mesh.Errorf(mesh.Unavailable, "tundev: watch the host's routes: %w", err)
	}
	defer context.AfterFunc(ctx, w.close)()
	defer w.close()
	for {
		w.drain()
		if err := d.reconcile(); err != nil { // also before the first wait, for changes before the watch began
			d.log.Warn("the routes could not be set", "interface", d.name, "err", err)
		}
		err := w.wait()
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return mesh.Errorf(mesh.Unavailable, "tundev: watch the host's routes: %w", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(settle): // because changes come in bursts
		}
	}
}

// settle is the delay between a change of the host's routes and the check.
const settle = 200 * time.Millisecond

// Close removes everything. It may be called more than once.
func (d *Device) Close() error {
	d.mu.Lock()
	was := d.closed
	d.closed = true
	d.mu.Unlock()
	if was {
		return nil
	}
	d.turn.Lock()
	defer d.turn.Unlock()
	err := d.removeRules()
	err = errors.Join(err, d.closeTUN())
	d.nl.Close()
	return err
}

// closeTUN closes the device and returns when its goroutines and the interface are gone.
func (d *Device) closeTUN() error {
	if err := d.tun.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
		return fmt.Errorf("tundev: close interface %s: %w", d.name, err)
	}
	for range d.tun.Events() { // its goroutines end only if somebody receives these
	}
	for range 100 { // the kernel removes the interface when the last read has returned
		link, err := d.nl.LinkByName(d.name)
		if err != nil || link.Attrs().Index != d.index {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	return nil
}
