//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"nexd/bench/load"
)

// The relay's host, and the two ways to it. No packet gets past it.
const hostS = "s"

var (
	relayForA = netip.MustParsePrefix("198.51.100.1/24")
	relayForB = netip.MustParsePrefix("203.0.113.1/24")
)

const (
	servicePort = 8443
	stunPort    = 3478
)

// The carriers of the relay, as nexd status names them.
const (
	carrierUDP = "udp"
	carrierWS  = "websocket"
)

// relayMeasures are what is measured through the relay, on the fast path, in every
// second round.
var relayMeasures = []string{mRTT, mDown1, mUp1}

// relayed is nexd at hosts that reach nothing but a third one, where nexservice runs:
// everything goes through its relay, by one of the two carriers.
type relayed struct {
	nexd
	carrier    string
	service    *process
	key        string // file of the registration key
	urlA, urlB string
}

// prepare makes the third host, takes the way between A and B away, and starts the
// service with an empty database.
func (r *relayed) prepare(ctx context.Context, l *lab) (err error) {
	r.bin = filepath.Join(l.bin, "nexd")
	if err := l.relayHost(ctx); err != nil {
		return err
	}
	if err := l.direct(ctx, false); err != nil {
		return err
	}
	for _, d := range []struct {
		name string
		to   *string
	}{{"relay-a", &r.stateA}, {"relay-b", &r.stateB}} {
		if *d.to, err = l.freshDir(d.name); err != nil {
			return err
		}
	}
	dir, err := l.freshDir("service")
	if err != nil {
		return err
	}
	return r.serve(ctx, l, dir)
}

// serve fills the service's database and starts it.
func (r *relayed) serve(ctx context.Context, l *lab, dir string) error {
	program, db := filepath.Join(l.bin, "nexservice"), "--db="+filepath.Join(dir, "nexd.db")
	password := filepath.Join(dir, "password")
	if err := os.WriteFile(password, []byte("nobody signs in here\n"), 0o644); err != nil {
		return err
	}
	r.key = filepath.Join(dir, "reg.key")
	if err := l.commands(ctx, []string{"setpriv", "--reuid", fmt.Sprint(nobody), "--regid", fmt.Sprint(nobody), "--clear-groups", "--",
		program, "bootstrap", db, "--user=bench@example.org", "--password-file=" + password, "--reg-key-out=" + r.key}); err != nil {
		return err
	}
	args := []string{program, "serve", db, fmt.Sprintf("--listen=0.0.0.0:%d", servicePort), "--relay-node-rate=0", "--relay-org-rate=0"}
	if r.carrier == carrierUDP {
		args = append(args, fmt.Sprintf("--stun-listen=0.0.0.0:%d", stunPort))
	}
	var err error
	if r.service, err = l.spawn(start{ns: hostS, name: "nexservice", args: args}); err != nil {
		return err
	}
	line, err := r.service.line(ctx, "ready", 20*time.Second)
	if err != nil {
		return err
	}
	_, pin, ok := strings.Cut(line, "#")
	if !ok {
		return fmt.Errorf("the service's line %q shows no pin", line)
	}
	pin, _, _ = strings.Cut(pin, " ")
	at := func(p netip.Prefix) string {
		return fmt.Sprintf("https://%v/#%s", netip.AddrPortFrom(p.Addr(), servicePort), pin)
	}
	r.urlA, r.urlB = at(relayForA), at(relayForB)
	return nil
}

func (r *relayed) router(ctx context.Context, l *lab) (*process, error) {
	p, err := l.spawn(start{ns: hostB, name: "nexd router", args: []string{r.bin, "router", "--userspace", "--advertise-cidr=" + lan.String(),
		"--hostname=bench-b", "--proxy-listen=off", "--reg-key-file=" + r.key, "--state-dir=" + r.stateB, r.urlB}})
	if err != nil {
		return nil, err
	}
	_, err = p.line(ctx, "ready", 20*time.Second)
	return p, err
}

func (r *relayed) client(_ context.Context, l *lab) (*process, error) {
	return l.spawn(start{ns: hostA, name: "nexd client", args: []string{r.bin, "join", "--userspace", "--hostname=bench-a",
		"--proxy-listen=" + socksPort, "--reg-key-file=" + r.key, "--state-dir=" + r.stateA, r.urlA}})
}

func (r *relayed) release(ctx context.Context, l *lab) error {
	r.service.stop()
	return l.direct(ctx, true)
}

// beside is what else takes part.
func (r *relayed) beside() *process { return r.service }

// prove waits until both sides have only the relay, by the wanted carrier. Data has to
// move meanwhile, else no side finds out whether UDP passes.
func (r *relayed) prove(ctx context.Context, d *deployment) error {
	limit := time.Now().Add(15 * time.Second)
	for {
		if err := d.load.call(ctx, load.FirstByteLimit, "FirstByte", load.FirstByteLimit, new(struct{})); err != nil {
			return err
		}
		err := errors.Join(r.way(ctx, r.stateA), r.way(ctx, r.stateB))
		if err == nil || time.Now().After(limit) {
			return err
		}
		sleep(ctx, 100*time.Millisecond)
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// way is an error if the node does not go through the relay by the wanted carrier.
func (r *relayed) way(ctx context.Context, state string) error {
	out, err := exec.CommandContext(ctx, r.bin, "status", "--json", "--state-dir="+state).Output()
	if err != nil {
		return fmt.Errorf("nexd status: %w", err)
	}
	return wayIs(out, r.carrier)
}

// wayIs reads the answer of nexd status.
func wayIs(status []byte, carrier string) error {
	var s struct {
		Peers []struct{ Name, Path, Why string }
		Relay *struct {
			Connected bool
			Why       string
			Carrier   string
		}
	}
	if err := json.Unmarshal(status, &s); err != nil {
		return fmt.Errorf("nexd status: %w", err)
	}
	switch {
	case len(s.Peers) != 1:
		return fmt.Errorf("nexd status: %d peers", len(s.Peers))
	case s.Peers[0].Path != "relay":
		return fmt.Errorf("the path to %s is %q (%s), not the relay", s.Peers[0].Name, s.Peers[0].Path, s.Peers[0].Why)
	case s.Relay == nil || !s.Relay.Connected:
		return fmt.Errorf("no relay: %+v", s.Relay)
	case s.Relay.Carrier != carrier:
		return fmt.Errorf("the relay is reached by %q, not by %s", s.Relay.Carrier, carrier)
	}
	return nil
}

// relayHost makes the third host, once in a lab.
func (l *lab) relayHost(ctx context.Context) error {
	if l.third {
		return nil
	}
	if err := l.netns(ctx, hostS, l.congestion); err != nil {
		return err
	}
	l.third = true
	cmds := [][]string{l.cmd("ip netns exec %s sysctl -qw net.ipv4.ip_forward=0", l.ns(hostS))}
	for _, w := range []struct {
		ns, dev string
		at      netip.Prefix
	}{{hostA, "a", relayForA}, {hostB, "b", relayForB}} {
		host := netip.PrefixFrom(w.at.Addr().Next(), w.at.Bits())
		cmds = append(cmds,
			l.cmd("ip link add relay0 netns %s type veth peer name %s0 netns %s", l.ns(w.ns), w.dev, l.ns(hostS)),
			l.cmd("ip -n %s addr add %v dev relay0", l.ns(w.ns), host),
			l.cmd("ip -n %s link set relay0 mtu 1500 txqueuelen 10000 up", l.ns(w.ns)),
			l.cmd("ip -n %s addr add %v dev %s0", l.ns(hostS), w.at, w.dev),
			l.cmd("ip -n %s link set %s0 mtu 1500 txqueuelen 10000 up", l.ns(hostS), w.dev))
	}
	return l.commands(ctx, cmds...)
}

// direct opens or closes the way between A and B that all other systems use.
func (l *lab) direct(ctx context.Context, open bool) error {
	state := "down"
	if open {
		state = "up"
	}
	return l.commands(ctx,
		l.cmd("ip -n %s link set eth0 %s", l.ns(hostA), state),
		l.cmd("ip -n %s link set eth0 %s", l.ns(hostB), state))
}

// freshDir is an ownDir with nothing in it.
func (l *lab) freshDir(name string) (string, error) {
	if err := os.RemoveAll(filepath.Join(l.dir, name)); err != nil {
		return "", err
	}
	return l.ownDir(name)
}

// isRelayed says whether a system's name is that of a relayed one.
func isRelayed(name string) bool { return strings.HasPrefix(name, "nexd-relay-") }

// measured is what of a scenario's measures a system takes part in, in a round.
func measured(name string, sc scenario, round int) []string {
	if !isRelayed(name) {
		return sc.measures
	}
	if sc.name != "fast" || round%2 == 1 {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(sc.measures), func(m string) bool { return !slices.Contains(relayMeasures, m) })
}
