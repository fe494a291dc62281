//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// The namespaces of a lab.
const (
	hostA     = "a"
	hostB     = "b"
	container = "c"
)

// Addresses; every lab has the same, since namespaces do not see each other.
var (
	wanA      = netip.MustParseAddr("192.0.2.21")
	wanB      = netip.MustParseAddr("192.0.2.11")
	meshA     = netip.MustParseAddr("100.64.0.2")
	meshB     = netip.MustParseAddr("100.64.0.1")
	lan       = netip.MustParsePrefix("172.24.0.0/24")
	gateway   = netip.MustParseAddr("172.24.0.1")
	target    = netip.MustParseAddrPort("172.24.0.10:7000")
	agentPort = uint16(51820)
)

// nsPrefix starts the name of every namespace and temporary directory of every
// benchmark; the process id follows.
const nsPrefix = "nxb"

// lab is three namespaces and what runs in them.
type lab struct {
	prefix string
	dir    string // every user may enter it
	bin    string // the programs, readable by every user
	path   path
	undo   []func()

	congestion string // of the kernel's TCP
	third      bool   // it has a relay's host
}

// newLab makes the namespaces with the given path between the hosts.
func newLab(ctx context.Context, bin, parent string, number int, p path, congestion string) (_ *lab, err error) {
	l := &lab{prefix: fmt.Sprintf("%s%d-%d", nsPrefix, os.Getpid(), number), bin: bin, path: p, congestion: congestion}
	l.dir = filepath.Join(parent, l.prefix)
	defer func() {
		if err != nil {
			l.close()
		}
	}()
	if err := os.Mkdir(l.dir, 0o755); err != nil {
		return nil, err
	}
	for _, ns := range []string{hostA, hostB, container} {
		if err := l.netns(ctx, ns, congestion); err != nil {
			return nil, err
		}
	}
	if err := l.wan(ctx); err != nil {
		return nil, err
	}
	return l, l.commands(ctx,
		l.cmd("ip link add lan0 netns %s type veth peer name eth0 netns %s", l.ns(hostB), l.ns(container)),
		l.cmd("ip -n %s addr add %s/24 dev lan0", l.ns(hostB), gateway),
		l.cmd("ip -n %s link set lan0 up", l.ns(hostB)),
		l.cmd("ip -n %s addr add %s/24 dev eth0", l.ns(container), target.Addr()),
		l.cmd("ip -n %s link set eth0 up", l.ns(container)),
		l.cmd("ip -n %s route add default via %s", l.ns(container), gateway))
}

func (l *lab) ns(name string) string { return l.prefix + name }

func (l *lab) netns(ctx context.Context, name, congestion string) error {
	l.undo = append(l.undo, func() { exec.Command("ip", "netns", "del", l.ns(name)).Run() })
	if err := l.commands(ctx, l.cmd("ip netns add %s", l.ns(name)), l.cmd("ip -n %s link set lo up", l.ns(name))); err != nil {
		return err
	}
	if err := l.setCongestion(ctx, name, congestion); err != nil {
		return err
	}
	return l.commands(ctx,
		l.cmd("ip netns exec %s sysctl -qw net.ipv4.ip_forward=1", l.ns(name)),
		// New connections by the thousand leave ports behind in TIME-WAIT.
		l.cmd("ip netns exec %s sysctl -qw net.ipv4.tcp_tw_reuse=1 net.ipv4.ip_local_port_range=1024\t65000", l.ns(name)))
}

// wan joins the hosts, by a veth pair or by the link emulator.
func (l *lab) wan(ctx context.Context) error {
	if l.path.delay > 0 || l.path.loss > 0 || l.path.rate > 0 {
		p, err := l.spawn(start{name: "link", args: []string{filepath.Join(l.bin, "link"), "-a=" + l.ns(hostA), "-b=" + l.ns(hostB), "-dev=eth0",
			"-delay=" + l.path.delay.String(), "-loss=" + fmt.Sprint(l.path.loss), "-rate=" + strconv.Itoa(l.path.rate)}})
		if err != nil {
			return err
		}
		l.undo = append(l.undo, p.stop)
		if _, err := p.line(ctx, "ready", 5*time.Second); err != nil {
			return err
		}
	} else if err := l.commands(ctx, l.cmd("ip link add eth0 netns %s type veth peer name eth0 netns %s", l.ns(hostA), l.ns(hostB))); err != nil {
		return err
	}
	for _, end := range []struct {
		ns   string
		addr netip.Addr
	}{{hostA, wanA}, {hostB, wanB}} {
		err := l.commands(ctx,
			l.cmd("ip -n %s addr add %s/24 dev eth0", l.ns(end.ns), end.addr),
			l.cmd("ip -n %s link set eth0 mtu 1500 txqueuelen 10000 up", l.ns(end.ns)))
		if err != nil {
			return err
		}
		if l.path.noOffload {
			if err := inNamespace(l.ns(end.ns), func() error { return setFeatures("eth0", offloads, false) }); err != nil {
				return err
			}
		}
	}
	return nil
}

// cmd is a command of words that hold no spaces.
func (l *lab) cmd(format string, args ...any) []string {
	words := strings.Split(fmt.Sprintf(format, args...), " ")
	for i, w := range words {
		words[i] = strings.ReplaceAll(w, "\t", " ") // a space inside a word
	}
	return words
}

// commands runs them until one fails.
func (l *lab) commands(ctx context.Context, cmds ...[]string) error {
	for _, c := range cmds {
		if out, err := exec.CommandContext(ctx, c[0], c[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", strings.Join(c, " "), err, strings.TrimSpace(string(out)))
		}
	}
	return nil
}

// close ends what runs in the lab and removes it, newest first.
func (l *lab) close() {
	for i := len(l.undo) - 1; i >= 0; i-- {
		l.undo[i]()
	}
	l.undo = nil
	os.RemoveAll(l.dir)
}

// ownDir makes a directory that belongs to the agents' user.
func (l *lab) ownDir(name string) (string, error) {
	dir := filepath.Join(l.dir, name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	return dir, os.Chown(dir, nobody, nobody)
}

// sweep removes namespaces and files of benchmarks that were killed before they
// could.
func sweep() error {
	stale := func(dir string, remove func(name string)) error {
		entries, err := os.ReadDir(dir)
		for _, e := range entries {
			if pid, ok := ownerOf(e.Name()); ok && !alive(pid) {
				remove(e.Name())
			}
		}
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		return err
	}
	return errors.Join(
		stale("/var/run/netns", func(name string) { exec.Command("ip", "netns", "del", name).Run() }),
		stale(os.TempDir(), func(name string) { os.RemoveAll(filepath.Join(os.TempDir(), name)) }))
}

// ownerOf reads the process id from the name of a namespace or directory.
func ownerOf(name string) (pid int, ok bool) {
	rest, ok := strings.CutPrefix(name, nsPrefix)
	number, _, found := strings.Cut(rest, "-")
	pid, err := strconv.Atoi(number)
	return pid, ok && found && err == nil
}

// alive says whether a process runs; one that only waits to be buried does not.
func alive(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, state, _ := strings.Cut(string(b), ") ")
	return err == nil && !strings.HasPrefix(state, "Z")
}
