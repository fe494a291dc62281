package router

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"nexd/internal/leak"
	"nexd/mesh"
)

// pinger is a fake host that can ping.
type pinger struct {
	mu    sync.Mutex
	asked []string
	errs  map[string]error
	dead  map[string]bool
}

func (p *pinger) ping(ctx context.Context, target netip.Addr, seq uint16, payload []byte) error {
	p.mu.Lock()
	p.asked = append(p.asked, fmt.Sprintf("%v %d %s", target, seq, payload))
	err, dead := p.errs[target.String()], p.dead[target.String()]
	p.mu.Unlock()
	if dead {
		<-ctx.Done()
		return ctx.Err()
	}
	return err
}

func (p *pinger) questions() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.asked)
}

func TestOnlyTheLivingAnswerPings(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want string
	}{
		{nil, "reply"},
		{errno(syscall.EHOSTUNREACH), "host unreachable"},
		{errno(syscall.ENETUNREACH), "network unreachable"},
		{errno(syscall.EACCES), "prohibited"},
		{errno(syscall.ECONNREFUSED), "drop"},
		{context.DeadlineExceeded, "drop"},
	} {
		synctest.Test(t, func(t *testing.T) {
			p := &pinger{errs: map[string]error{"172.17.0.10": tt.err}}
			r, stop := running(t, Config{Advertisements: ads(t, "10.201.0.0/24=172.17.0.0/24"), Ping: p.ping})
			e := echoTo("100.64.0.2", "10.201.0.10")
			r.Echo(e)
			if got := <-e.ch; got != tt.want || e.count() != 1 {
				t.Errorf("%v: verdict %s (%d of them), want %s", tt.err, got, e.count(), tt.want)
			}
			if q := p.questions(); len(q) != 1 || q[0] != "172.17.0.10 3 abc" {
				t.Errorf("asked %q, want the mapped address, the number and the payload", q)
			}
			stop()
			if n := len(r.accounts.peers); n != 0 {
				t.Errorf("%d accounts left open", n)
			}
		})
	}
}

func TestPingsOutsideAreProhibited(t *testing.T) {
	r, stop := running(t, Config{Advertisements: ads(t, "172.24.0.0/24")})
	e := echoTo("100.64.0.2", "172.25.0.1")
	r.Echo(e)
	if got := <-e.ch; got != "prohibited" {
		t.Errorf("verdict %s", got)
	}
	stop()
}

func TestPingsAtTheirLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &pinger{dead: map[string]bool{"172.24.0.9": true}}
		r, stop := running(t, Config{Advertisements: ads(t, "172.24.0.0/24"), Ping: p.ping, Limits: Limits{Pings: 4}})
		defer stop()
		for range 10 {
			r.Echo(echoTo("100.64.0.2", "172.24.0.9"))
		}
		synctest.Wait()
		if n := len(p.questions()); n != 4 {
			t.Errorf("%d pings under way, want 4", n)
		}
		e := echoTo("100.64.0.3", "172.24.0.10")
		r.Echo(e)
		if got := <-e.ch; got != "reply" {
			t.Errorf("another peer: %s", got)
		}
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if fl := r.Flows(); len(fl) != 0 {
			t.Errorf("after their time: %+v", fl)
		}
	})
}

// shared makes a router with a ping method whose answers are shared.
func shared(t *testing.T, p *pinger, limits Limits) (*Router, func()) {
	r, stop := running(t, Config{Advertisements: ads(t, "172.24.0.0/16"), Limits: limits})
	slots := make(chan struct{}, r.cfg.Limits.PingPrograms)
	m := method{name: "test", shared: true, ping: inTurn(slots, func(ctx context.Context, q probe) error {
		return p.ping(ctx, q.target, q.seq, q.payload)
	})}
	r.echoes.use(m, m)
	return r, stop
}

func TestAFloodOfPingsAsksOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &pinger{dead: map[string]bool{"172.24.0.9": true}, errs: map[string]error{}}
		r, stop := shared(t, p, Limits{})
		defer stop()
		var all []*fakeEcho
		flood := func(dst string) {
			for range 30 {
				e := echoTo("100.64.0.2", dst)
				all = append(all, e)
				r.Echo(e)
			}
		}
		flood("172.24.0.9")
		flood("172.24.0.10")
		time.Sleep(100 * time.Millisecond)
		flood("172.24.0.10") // served by the fresh answer
		time.Sleep(5 * time.Second)
		if q := p.questions(); len(q) != 2 {
			t.Errorf("asked %q, want once for each target", q)
		}
		got := map[string]int{}
		for _, e := range all {
			got[<-e.ch]++
		}
		if got["drop"] != 30 || got["reply"] != 60 {
			t.Errorf("verdicts %v", got)
		}
		e := echoTo("100.64.0.2", "172.24.0.10")
		r.Echo(e)
		if got := <-e.ch; got != "reply" || len(p.questions()) != 3 {
			t.Errorf("later: %s, asked %q; want to be asked anew", got, p.questions())
		}
	})
}

func TestDeadPingTargetsLeaveRoomForOtherPeers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &pinger{dead: map[string]bool{}}
		r, stop := shared(t, p, Limits{PingPrograms: 8})
		defer stop()
		for i := range 60 {
			dst := fmt.Sprintf("172.24.1.%d", i)
			p.dead[dst] = true
		}
		for i := range 60 {
			r.Echo(echoTo("100.64.0.2", fmt.Sprintf("172.24.1.%d", i)))
		}
		synctest.Wait()
		began, e := time.Now(), echoTo("100.64.0.3", "172.24.0.10")
		r.Echo(e)
		if got := <-e.ch; got != "reply" || time.Since(began) != 0 {
			t.Errorf("another peer: %s after %v", got, time.Since(began))
		}
	})
}

func TestRunEndsWithPingsUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &pinger{dead: map[string]bool{"172.24.0.9": true}}
		r, stop := shared(t, p, Limits{})
		a, b := echoTo("100.64.0.2", "172.24.0.9"), echoTo("100.64.0.3", "172.24.0.9")
		r.Echo(a)
		r.Echo(b)
		began := time.Now()
		stop()
		if <-a.ch != "drop" || <-b.ch != "drop" || time.Since(began) != 0 {
			t.Error("pings outlive Run")
		}
	})
}

func TestEchoMessages(t *testing.T) {
	for _, target := range []string{"10.0.0.1", "fd00::1"} {
		p := probe{target: netip.MustParseAddr(target), seq: 0x1234, payload: []byte("odd")}
		m := echoMessage(p)
		if answers(m, p) {
			t.Errorf("%s: the question counts as an answer", target)
		}
		answer := slices.Clone(m)
		answer[0] = echoAnswer4
		if p.target.Is6() {
			answer[0] = echoAnswer6
		} else if checksum(m) != 0 {
			t.Errorf("checksum of a finished message is %#x", checksum(m))
		}
		if !answers(answer, p) {
			t.Errorf("%s: the answer does not count", target)
		}
		withHeader := append(append([]byte{0x45, 8: 64, 9: 1, 19: 0}, 0)[:20], answer...)
		if p.target.Is4() && !answers(withHeader, p) {
			t.Error("an answer with its IPv4 header does not count")
		}
		for name, change := range map[string]func([]byte){
			"type": func(b []byte) { b[0] = 3 }, "code": func(b []byte) { b[1] = 1 },
			"sequence": func(b []byte) { b[7]++ }, "payload": func(b []byte) { b[9]++ },
		} {
			other := bytes.Clone(answer)
			change(other)
			if answers(other, p) {
				t.Errorf("%s: an answer with another %s counts", target, name)
			}
		}
		if answers(answer[:6], p) || answers(nil, p) || answers(append(answer, 0), p) {
			t.Errorf("%s: an answer of another length counts", target)
		}
	}
}

func FuzzAnswers(f *testing.F) {
	f.Add([]byte{0x45, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0}, true)
	f.Fuzz(func(t *testing.T, m []byte, v4 bool) {
		p := probe{target: netip.IPv6Loopback(), seq: 1, payload: []byte("x")}
		if v4 {
			p.target = netip.AddrFrom4([4]byte{127, 0, 0, 1})
		}
		if answers(m, p) && !bytes.HasSuffix(m, []byte{0, 1, 'x'}) {
			t.Fatalf("%x answers", m)
		}
	})
}

func TestTCPProbe(t *testing.T) {
	leak.Check(t)
	for _, tt := range []struct {
		name string
		errs map[uint16]error // by port; the rest time out
		want outcome
	}{
		{"one port is open", map[uint16]error{443: nil}, connected},
		{"one port refuses", map[uint16]error{22: errno(syscall.ECONNREFUSED)}, connected},
		{"nothing answers", nil, timedOut},
		{"no neighbour", map[uint16]error{80: errno(syscall.EHOSTUNREACH)}, noHost},
		{"refused on one, filtered on another", map[uint16]error{80: errno(syscall.EHOSTUNREACH), 7: errno(syscall.ECONNREFUSED)}, connected},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, err := New(Config{Dial: func(ctx context.Context, _, address string) (net.Conn, error) {
				err, known := tt.errs[ap(address).Port()]
				if !known {
					<-ctx.Done()
					return nil, ctx.Err()
				}
				if err != nil {
					return nil, err
				}
				c, _ := net.Pipe()
				return c, nil
			}})
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
			defer cancel()
			if got := outcomeOf(r.tcpProbe(ctx, probe{target: netip.MustParseAddr("172.24.0.10")})); got != tt.want {
				t.Errorf("%v, want %v", got, tt.want)
			}
		})
	}
}

func TestPingProgramsOutput(t *testing.T) {
	for out, want := range map[string]outcome{
		"1 packets transmitted, 0 received, 100% packet loss":               timedOut,
		"From 10.0.0.1 icmp_seq=1 Destination Host Unreachable":             noHost,
		"From 10.0.0.1 icmp_seq=1 Destination Net Unreachable":              noNet,
		"ping: connect: Network is unreachable":                             noNet,
		"ping: sendto: Network unreachable":                                 noNet,
		"From 10.0.0.1 icmp_seq=1 Packet filtered":                          prohibited,
		"From fd00::1 icmp_seq=1 Destination unreachable: No route":         noNet,
		"From fd00::1 icmp_seq=1 Destination unreachable: Admin prohibited": prohibited,
		"": timedOut,
	} {
		if got := outcomeOf(fmt.Errorf("router: ping: %w", failure([]byte(out)))); got != want {
			t.Errorf("%q is %v, want %v", out, got, want)
		}
	}
}

func TestPingProgramsArguments(t *testing.T) {
	p := probe{target: netip.MustParseAddr("fe80::1%eth0; rm -rf /"), payload: make([]byte, 56)}
	got := commandline{"/bin/ping", "-6"}.arguments(p)
	want := []string{"/bin/ping", "-6", "-n", "-c", "1", "-W", "4", "-s", "56", "fe80::1"}
	if !slices.Equal(got, want) {
		t.Errorf("arguments %q, want %q", got, want)
	}
}

func TestPingProgramOfThisHost(t *testing.T) {
	t.Run("installed", pingProgramWorks)
	t.Run("busybox", func(t *testing.T) {
		busybox, err := exec.LookPath("busybox")
		if err != nil {
			t.Skip("no busybox")
		}
		dir := t.TempDir()
		if err := os.Symlink(busybox, filepath.Join(dir, "ping")); err != nil {
			t.Fatal(err)
		}
		t.Setenv("PATH", dir)
		pingProgramWorks(t)
	})
}

func pingProgramWorks(t *testing.T) {
	leak.Check(t)
	self := netip.MustParseAddr("127.0.0.1")
	ask := findPing(context.Background(), self)
	if ask == nil {
		t.Skip("no ping program that works here")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := ask(ctx, probe{target: self, seq: 1, payload: make([]byte, 1000)}); err != nil {
		t.Errorf("ping of this host: %v", err)
	}
	cancel()
	if err := ask(ctx, probe{target: self}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled ping: %v", err)
	}
}

// How the router pings is logged once, and only by a node that routes something.
func TestTheLogTellsOnceHowPingsAreAnswered(t *testing.T) {
	for _, tt := range []struct{ v4, want string }{
		{"ping socket", `msg="router: answering pings"`},
		{tcpProbe, "router: answering pings with TCP probes: this user may not open ping sockets"},
	} {
		log := new(bytes.Buffer)
		r, err := New(Config{Logger: slog.New(slog.NewTextHandler(log, nil))})
		if err != nil {
			t.Fatal(err)
		}
		r.tellPing(func(n *pingNotice) { n.v4, n.v6 = tt.v4, "ping socket" })
		r.Set(nil)
		if log.Len() > 0 {
			t.Errorf("a node without prefixes logs %s", log)
		}
		for range 2 {
			r.Set([]mesh.Advertisement{{Prefix: netip.MustParsePrefix("172.24.0.0/24")}})
		}
		if got := log.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, tt.want) || !strings.Contains(got, `ipv4="`+tt.v4+`"`) {
			t.Errorf("%s: logged %q", tt.v4, got)
		}
	}
}
