package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"syscall"

	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/tun/netstack"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "stocknet:", err)
		os.Exit(1)
	}
}

// mtu is the default MTU of wireguard and nexd.
const mtu = 1420

func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) error {
	f := flag.NewFlagSet("stocknet", flag.ContinueOnError)
	f.SetOutput(stderr)
	var address netip.Addr
	var relayTo netip.AddrPort
	f.TextVar(&address, "address", netip.Addr{}, "address of the stack")
	f.TextVar(&relayTo, "relay", netip.AddrPort{}, "relay to this address of the host what the stack gets on the same port")
	socks := f.String("socks", "", "listen for SOCKS5 on this address of the host")
	if err := f.Parse(args); err != nil {
		return err
	}
	config, err := io.ReadAll(stdin)
	if err != nil {
		return err
	}
	stack, stop, err := join(address, string(config))
	if err != nil {
		return err
	}
	defer stop()
	ln, dial, err := ways(stack, netip.AddrPortFrom(address, relayTo.Port()), relayTo, *socks)
	if err != nil {
		return err
	}
	context.AfterFunc(ctx, func() { ln.Close() })
	fmt.Fprintln(stdout, "ready")
	for {
		c, err := ln.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		go serve(ctx, c, dial)
	}
}

// join starts a WireGuard device with a stack in this process.
func join(address netip.Addr, config string) (*netstack.Net, func(), error) {
	tun, stack, err := netstack.CreateNetTUN([]netip.Addr{address}, nil, mtu)
	if err != nil {
		return nil, nil, err
	}
	dev := device.NewDevice(tun, conn.NewDefaultBind(), device.NewLogger(device.LogLevelError, ""))
	if err := errors.Join(dev.IpcSet(config), dev.Up()); err != nil {
		dev.Close()
		return nil, nil, err
	}
	return stack, dev.Close, nil
}

// dialer opens the connection to the target.
type dialer func(ctx context.Context, near net.Conn) (net.Conn, error)

// ways returns the listener and the dialer of connections.
func ways(stack *netstack.Net, at, relayTo netip.AddrPort, socks string) (net.Listener, dialer, error) {
	if relayTo.IsValid() {
		ln, err := stack.ListenTCPAddrPort(at)
		return ln, func(ctx context.Context, _ net.Conn) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "tcp", relayTo.String())
		}, err
	}
	ln, err := net.Listen("tcp", socks)
	return ln, func(ctx context.Context, near net.Conn) (net.Conn, error) {
		return handshake(near, func(to netip.AddrPort) (net.Conn, error) { return stack.DialContextTCPAddrPort(ctx, to) })
	}, err
}

func serve(ctx context.Context, near net.Conn, dial dialer) {
	defer near.Close()
	far, err := dial(ctx, near)
	if err != nil {
		return
	}
	defer far.Close()
	relay(near, far)
}
