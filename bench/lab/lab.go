//go:build linux

package lab

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
	HostA     = "a"
	HostB     = "b"
	Container = "c"
)

// Addresses, the same in every lab, because namespaces are isolated from each other.
var (
	WanA      = netip.MustParseAddr("192.0.2.21")
	WanB      = netip.MustParseAddr("192.0.2.11")
	MeshA     = netip.MustParseAddr("100.64.0.2")
	MeshB     = netip.MustParseAddr("100.64.0.1")
	LAN       = netip.MustParsePrefix("172.24.0.0/24")
	gateway   = netip.MustParseAddr("172.24.0.1")
	Target    = netip.MustParseAddrPort("172.24.0.10:7000")
	AgentPort = uint16(51820)
)

// Prefix starts the name of every namespace and temporary directory of every
// benchmark; the process id follows.
const Prefix = "nxb"

// Lab is three namespaces, a fourth with AddRelayHost, and the processes in them.
type Lab struct {
	Dir string // every user may enter it
	Bin string // the programs, readable by every user

	prefix     string // of its namespaces
	path       Path
	congestion string // TCP congestion control of the kernel in its namespaces
	relayHost  bool   // AddRelayHost was called
	undo       []func()
}

// Path is what lies between host A and host B.
type Path struct {
	Delay        time.Duration // one way; 0 = a veth pair
	Loss         float64       // share of the packets, each way
	Rate         int           // Mbit/s, 0 = unlimited
	NoOffload    bool          // the veth pair carries no super-packets
	SmallBuffers bool          // agents start under net.core.{r,w}mem_max = 212992
}

// New makes the namespaces with the given path between the hosts.
func New(ctx context.Context, bin, parent string, number int, p Path, congestion string) (_ *Lab, err error) {
	l := &Lab{prefix: fmt.Sprintf("%s%d-%d", Prefix, os.Getpid(), number), Bin: bin, path: p, congestion: congestion}
	l.Dir = filepath.Join(parent, l.prefix)
	defer func() {
		if err != nil {
			l.Close()
		}
	}()
	if err := os.Mkdir(l.Dir, 0o755); err != nil {
		return nil, err
	}
	for _, ns := range []string{HostA, HostB, Container} {
		if err := l.AddNamespace(ctx, ns); err != nil {
			return nil, err
		}
	}
	if err := l.wan(ctx); err != nil {
		return nil, err
	}
	return l, l.Run(ctx,
		l.Cmd("ip link add lan0 netns %s type veth peer name eth0 netns %s", l.NS(HostB), l.NS(Container)),
		l.Cmd("ip -n %s addr add %s/24 dev lan0", l.NS(HostB), gateway),
		l.Cmd("ip -n %s link set lan0 up", l.NS(HostB)),
		l.Cmd("ip -n %s addr add %s/24 dev eth0", l.NS(Container), Target.Addr()),
		l.Cmd("ip -n %s link set eth0 up", l.NS(Container)),
		l.Cmd("ip -n %s route add default via %s", l.NS(Container), gateway))
}

// NS is the full name of one of the lab's namespaces.
func (l *Lab) NS(name string) string { return l.prefix + name }

// AddNamespace creates another namespace.
func (l *Lab) AddNamespace(ctx context.Context, name string) error {
	l.undo = append(l.undo, func() { exec.Command("ip", "netns", "del", l.NS(name)).Run() })
	if err := l.Run(ctx, l.Cmd("ip netns add %s", l.NS(name)), l.Cmd("ip -n %s link set lo up", l.NS(name))); err != nil {
		return err
	}
	if err := l.setCongestion(ctx, name); err != nil {
		return err
	}
	return l.Run(ctx,
		l.Cmd("ip netns exec %s sysctl -qw net.ipv4.ip_forward=1", l.NS(name)),
		// Thousands of new connections leave ports in TIME-WAIT.
		l.Cmd("ip netns exec %s sysctl -qw net.ipv4.tcp_tw_reuse=1 net.ipv4.ip_local_port_range=1024\t65000", l.NS(name)))
}

// wan joins the hosts, by a veth pair or by the link emulator.
func (l *Lab) wan(ctx context.Context) error {
	if l.path.Delay > 0 || l.path.Loss > 0 || l.path.Rate > 0 {
		p, err := l.Spawn(Start{Name: "link", Args: []string{filepath.Join(l.Bin, "link"), "-a=" + l.NS(HostA), "-b=" + l.NS(HostB), "-dev=eth0",
			"-delay=" + l.path.Delay.String(), "-loss=" + fmt.Sprint(l.path.Loss), "-rate=" + strconv.Itoa(l.path.Rate)}})
		if err != nil {
			return err
		}
		l.undo = append(l.undo, p.Stop)
		if _, err := p.Line(ctx, "ready", 5*time.Second); err != nil {
			return err
		}
	} else if err := l.Run(ctx, l.Cmd("ip link add eth0 netns %s type veth peer name eth0 netns %s", l.NS(HostA), l.NS(HostB))); err != nil {
		return err
	}
	for _, end := range []struct {
		ns   string
		addr netip.Addr
	}{{HostA, WanA}, {HostB, WanB}} {
		err := l.Run(ctx,
			l.Cmd("ip -n %s addr add %s/24 dev eth0", l.NS(end.ns), end.addr),
			l.Cmd("ip -n %s link set eth0 mtu 1500 txqueuelen 10000 up", l.NS(end.ns)))
		if err != nil {
			return err
		}
		if l.path.NoOffload {
			if err := inNamespace(l.NS(end.ns), func() error { return setFeatures("eth0", offloads, false) }); err != nil {
				return err
			}
		}
	}
	return nil
}

// Cmd splits a formatted command into words at its spaces; a tab stands for a space
// inside a word.
func (l *Lab) Cmd(format string, args ...any) []string {
	words := strings.Split(fmt.Sprintf(format, args...), " ")
	for i, w := range words {
		words[i] = strings.ReplaceAll(w, "\t", " ") // a space inside a word
	}
	return words
}

// Run runs commands until one fails.
func (l *Lab) Run(ctx context.Context, cmds ...[]string) error {
	for _, c := range cmds {
		if out, err := exec.CommandContext(ctx, c[0], c[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", strings.Join(c, " "), err, strings.TrimSpace(string(out)))
		}
	}
	return nil
}

// Undo registers f for Close.
func (l *Lab) Undo(f func()) { l.undo = append(l.undo, f) }

// Close runs what was registered with Undo, newest first, and removes the namespaces.
func (l *Lab) Close() {
	for i := len(l.undo) - 1; i >= 0; i-- {
		l.undo[i]()
	}
	l.undo = nil
	os.RemoveAll(l.Dir)
}

// OwnDir makes a directory that belongs to the agents' user.
func (l *Lab) OwnDir(name string) (string, error) {
	dir := filepath.Join(l.Dir, name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	return dir, os.Chown(dir, Nobody, Nobody)
}

// Sweep removes the namespaces and files of benchmarks that were killed.
func Sweep() error {
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
	rest, ok := strings.CutPrefix(name, Prefix)
	number, _, found := strings.Cut(rest, "-")
	pid, err := strconv.Atoi(number)
	return pid, ok && found && err == nil
}

// alive reports whether a process is running; a zombie is not.
func alive(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, state, _ := strings.Cut(string(b), ") ")
	return err == nil && !strings.HasPrefix(state, "Z")
}
