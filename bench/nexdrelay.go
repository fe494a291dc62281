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

	"nexd/bench/lab"
	"nexd/bench/load"
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

// relayMeasures are the measures through the relay, on the fast path, in every second
// round.
var relayMeasures = []string{mRTT, mDown1, mUp1}

// nexdRelay is nexd on hosts that can reach only a third host with nexservice, so all
// packets take its relay, by one of the two carriers.
type nexdRelay struct {
	nexd
	carrier    string
	service    *lab.Process
	key        string // file of the registration key
	urlA, urlB string
}

// prepare creates the third host, closes the direct link between A and B, and starts the
// service with an empty database.
func (r *nexdRelay) prepare(ctx context.Context, l *lab.Lab) (err error) {
	r.bin = filepath.Join(l.Bin, "nexd")
	if err := l.AddRelayHost(ctx); err != nil {
		return err
	}
	if err := l.SetDirect(ctx, false); err != nil {
		return err
	}
	for _, d := range []struct {
		name string
		to   *string
	}{{"relay-a", &r.stateA}, {"relay-b", &r.stateB}} {
		if *d.to, err = l.FreshDir(d.name); err != nil {
			return err
		}
	}
	dir, err := l.FreshDir("service")
	if err != nil {
		return err
	}
	return r.serve(ctx, l, dir)
}

// serve sets up the service's database and starts the service.
func (r *nexdRelay) serve(ctx context.Context, l *lab.Lab, dir string) error {
	program, db := filepath.Join(l.Bin, "nexservice"), "--db="+filepath.Join(dir, "nexd.db")
	password := filepath.Join(dir, "password")
	if err := os.WriteFile(password, []byte("nobody signs in here\n"), 0o644); err != nil {
		return err
	}
	r.key = filepath.Join(dir, "reg.key")
	if err := l.Run(ctx, []string{"setpriv", "--reuid", fmt.Sprint(lab.Nobody), "--regid", fmt.Sprint(lab.Nobody), "--clear-groups", "--",
		program, "bootstrap", db, "--user=bench@example.org", "--password-file=" + password, "--reg-key-out=" + r.key}); err != nil {
		return err
	}
	args := []string{program, "serve", db, fmt.Sprintf("--listen=0.0.0.0:%d", servicePort), "--relay-node-rate=0", "--relay-org-rate=0"}
	if r.carrier == carrierUDP {
		args = append(args, fmt.Sprintf("--stun-listen=0.0.0.0:%d", stunPort))
	}
	var err error
	if r.service, err = l.Spawn(lab.Start{NS: lab.HostS, Name: "nexservice", Args: args}); err != nil {
		return err
	}
	line, err := r.service.Line(ctx, "ready", 20*time.Second)
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
	r.urlA, r.urlB = at(lab.RelayForA), at(lab.RelayForB)
	return nil
}

func (r *nexdRelay) router(ctx context.Context, l *lab.Lab) (*lab.Process, error) {
	p, err := l.Spawn(lab.Start{NS: lab.HostB, Name: "nexd router", Args: []string{r.bin, "router", "--userspace", "--advertise-cidr=" + lab.LAN.String(),
		"--hostname=bench-b", "--proxy-listen=off", "--reg-key-file=" + r.key, "--state-dir=" + r.stateB, r.urlB}})
	if err != nil {
		return nil, err
	}
	_, err = p.Line(ctx, "ready", 20*time.Second)
	return p, err
}

func (r *nexdRelay) client(_ context.Context, l *lab.Lab) (*lab.Process, error) {
	return l.Spawn(lab.Start{NS: lab.HostA, Name: "nexd client", Args: []string{r.bin, "join", "--userspace", "--hostname=bench-a",
		"--proxy-listen=" + socksPort, "--reg-key-file=" + r.key, "--state-dir=" + r.stateA, r.urlA}})
}

func (r *nexdRelay) release(ctx context.Context, l *lab.Lab) error {
	r.service.Stop()
	return l.SetDirect(ctx, true)
}

// beside is the process of the service.
func (r *nexdRelay) beside() *lab.Process { return r.service }

// prove waits until both sides use only the relay, by the wanted carrier. It sends data
// meanwhile, because otherwise neither side tests whether UDP passes.
func (r *nexdRelay) prove(ctx context.Context, d *deployment) error {
	limit := time.Now().Add(15 * time.Second)
	for {
		if err := d.load.Call(ctx, load.FirstByteLimit, "FirstByte", load.FirstByteLimit, new(struct{})); err != nil {
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

// way returns an error if the node does not use the relay by the wanted carrier.
func (r *nexdRelay) way(ctx context.Context, state string) error {
	out, err := exec.CommandContext(ctx, r.bin, "status", "--json", "--state-dir="+state).Output()
	if err != nil {
		return fmt.Errorf("nexd status: %w", err)
	}
	return wayIs(out, r.carrier)
}

// wayIs reads the output of nexd status.
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

// isNexdRelay reports whether a system is nexd through its relay.
func isNexdRelay(name string) bool { return strings.HasPrefix(name, "nexd-relay-") }

// measured returns the scenario's measures that apply to a system in a round.
func measured(name string, sc scenario, round int) []string {
	if !isNexdRelay(name) {
		return sc.measures
	}
	if sc.name != "fast" || round%2 == 1 {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(sc.measures), func(m string) bool { return !slices.Contains(relayMeasures, m) })
}
