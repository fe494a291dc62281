package e2e

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"nexd/internal/eventually"
	"nexd/internal/packet"
)

// TestOnePeerDoesNotTakeARouter has a peer hold as many connections through a router as it can
// get, and then flood the router with SYNs. Others connect as before, and the router says who
// holds what.
func TestOnePeerDoesNotTakeARouter(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "nft", "prlimit")
	w.host("evil", "192.0.2.31/24")
	node1 := &node{w: w, ns: "node1", state: w.ownDir("state-node1")}
	node1.args = []string{"prlimit", "--nofile=2000:2000", bin("nexd"), "router", "--proxy-listen=off", "--advertise-cidr=172.24.0.0/24", "--userspace", "--hostname=node1", "--reg-key-file=" + w.key, "--state-dir=" + node1.state, w.url}
	node1.launch()
	laptop := w.join("laptop")
	evil := w.joinTUN("evil", "--proxy-listen=off")
	laptop.mustFetch("http://172.24.0.10/")
	router := func() (connected uint64, health string) {
		s := node1.look()
		return s.Counters.Router.Connected, strings.Join(s.Health, "\n")
	}
	prompt := func(while string) {
		t.Helper()
		p := w.start("laptop", "churn", []string{"NEXD_E2E_HELPER=1"}, bin("helper"), "churn", "300", laptop.proxy, "172.24.0.10:80")
		code := p.exit(time.Minute)
		t.Log(while + ": " + strings.TrimSpace(p.log()))
		if code != 0 {
			t.Errorf("%s: connections of another peer fail or wait", while)
		}
	}
	prompt("before")

	// 2,000 descriptors are 1,600 sockets.
	hold := w.startWithInput("evil", "hold-all", []string{"NEXD_E2E_HELPER=1"}, bin("helper"), "hold-all", "172.24.0.10:7", "1300")
	held, err := strconv.Atoi(strings.TrimPrefix(hold.line("held ", time.Minute), "held "))
	if err != nil || held != 1200 {
		t.Errorf("one peer holds %d of 1,600 sockets, %v; want three quarters", held, err)
	}
	prompt("one peer holds its share")
	if _, health := router(); !strings.Contains(health, "evil holds 1200 of 1600 sockets of this router") || !strings.Contains(health, "LimitNOFILE") {
		t.Errorf("status says %q", health)
	}
	if n := strings.Count(node1.log(), "evil holds 1200 of 1600 sockets"); n != 1 {
		t.Errorf("the log says it %d times", n)
	}
	hold.endInput()
	hold.exit(20 * time.Second)
	eventually.Within(t, 30*time.Second, "the connections of the peer end", func() bool { return node1.look().Counters.Router.TCP == 0 })

	w.in("evil", "nft", "add table inet mute; add chain inet mute out { type filter hook output priority 0; }; add rule inet mute out tcp flags rst drop")
	before, _ := router()
	flood := w.launch(w.prepareAs("evil", "flood", []string{"NEXD_E2E_HELPER=1"}, []string{bin("helper"), "syn-flood", evil.name4, "172.24.0.10:7", "20000", "4000"}))
	flood.line("half", 20*time.Second)
	prompt("a flood of SYNs")
	if code := flood.exit(30 * time.Second); code != 0 {
		t.Fatalf("flood: exit %d\n%s", code, flood.log())
	}
	after, health := router()
	if n := after - before - 300; n > 1024 {
		t.Errorf("the flood of 20,000 SYNs has opened %d connections to the target, want 1,024 at most", n)
	}
	if !strings.Contains(health, "evil has too many incomplete connections, the latest to 172.24.0.10:7") {
		t.Errorf("status says %q", health)
	}
}

// holdAll opens n connections, one after another, prints how many it got, and closes them when
// its input ends.
func holdAll(target, n string) error {
	count, err := strconv.Atoi(n)
	if err != nil {
		return err
	}
	var held []net.Conn
	for range count {
		c, err := net.DialTimeout("tcp", target, 10*time.Second)
		if err == nil {
			held = append(held, c)
		}
	}
	fmt.Println("held", len(held))
	io.Copy(io.Discard, os.Stdin)
	for _, c := range held {
		c.Close()
	}
	return nil
}

// synFlood sends SYNs from src to target, at a rate per second, each from another port, and
// prints "half" when half of them are sent.
func synFlood(src, target, n, rate string) error {
	count, err := strconv.Atoi(n)
	if err != nil {
		return err
	}
	perSecond, err := strconv.Atoi(rate)
	if err != nil {
		return err
	}
	from, to := netip.MustParseAddr(src), netip.MustParseAddrPort(target)
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_RAW, syscall.IPPROTO_RAW)
	if err != nil {
		return err
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for i := range count {
		if err := syscall.Sendto(fd, syn(from, to, uint16(1024+i%60000), uint32(i)*7919), 0, &syscall.SockaddrInet4{Addr: to.Addr().As4()}); err != nil {
			return err
		}
		if i == count/2 {
			fmt.Println("half")
		}
		if i%(perSecond/100) == 0 {
			<-tick.C
		}
	}
	return nil
}

// syn is an IPv4 packet with a SYN.
func syn(from netip.Addr, to netip.AddrPort, port uint16, seq uint32) []byte {
	b := make([]byte, packet.IPv4HeaderLen+packet.TCPHeaderLen)
	b[0], b[8], b[9] = 0x45, 64, packet.ProtoTCP
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	copy(b[12:], from.AsSlice())
	copy(b[16:], to.Addr().AsSlice())
	tcp := b[packet.IPv4HeaderLen:]
	binary.BigEndian.PutUint16(tcp, port)
	binary.BigEndian.PutUint16(tcp[2:], to.Port())
	binary.BigEndian.PutUint32(tcp[4:], seq)
	tcp[12], tcp[13] = 0x50, packet.SYN
	binary.BigEndian.PutUint16(tcp[14:], 0xffff)
	binary.BigEndian.PutUint16(tcp[16:], ^packet.Sum(tcp, packet.PseudoHeader(b[12:20], packet.ProtoTCP, len(tcp))))
	return b
}
