//go:build linux

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"

	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/tun"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "wgtun:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) error {
	o, err := parse(args, stderr)
	if err != nil {
		return err
	}
	config, err := io.ReadAll(stdin)
	if err != nil {
		return err
	}
	t, err := tun.CreateTUN(o.dev, o.mtu)
	if err != nil {
		return err
	}
	dev := device.NewDevice(t, conn.NewDefaultBind(), device.NewLogger(device.LogLevelError, ""))
	defer dev.Close()
	if err := errors.Join(dev.IpcSet(string(config)), dev.Up()); err != nil {
		return err
	}
	for _, c := range o.commands() {
		if out, err := exec.CommandContext(ctx, "ip", c...).CombinedOutput(); err != nil {
			return fmt.Errorf("ip %s: %w: %s", strings.Join(c, " "), err, out)
		}
	}
	fmt.Fprintln(stdout, "ready")
	<-ctx.Done()
	return nil
}

// options are the options of the command line.
type options struct {
	dev     string
	mtu     int
	address netip.Addr
	route   netip.Prefix
}

func parse(args []string, stderr io.Writer) (options, error) {
	var o options
	f := flag.NewFlagSet("wgtun", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.StringVar(&o.dev, "dev", "wg0", "name of the device")
	f.IntVar(&o.mtu, "mtu", 1420, "MTU of the device")
	f.TextVar(&o.address, "address", netip.Addr{}, "address of the device")
	f.TextVar(&o.route, "route", netip.Prefix{}, "what is behind the device")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if !o.address.IsValid() || !o.route.IsValid() {
		return o, errors.New("-address and -route are needed")
	}
	return o, nil
}

// commands returns the arguments of ip that configure the device. The route comes last:
// until it exists, a connection attempt fails at once.
func (o options) commands() [][]string {
	return [][]string{
		{"addr", "add", o.address.String(), "dev", o.dev},
		{"link", "set", o.dev, "up"},
		{"route", "add", o.route.String(), "dev", o.dev},
	}
}
