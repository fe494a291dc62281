package e2e

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"nexd/internal/sealed"
	"nexd/internal/stun"
)

// datagram is a datagram that crossed the wan, with its destination.
type datagram struct {
	To   netip.AddrPort
	Data []byte
}

// attack sends an attacker's packets to nodes and counts the replies. file contains
// datagrams between the nodes; servers are STUN servers.
//
// It prints "did WHAT PACKETS BYTES" for each kind of attack, and finally "got BYTES".
func attack(file string, servers []string) error {
	raw, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var seen []datagram
	if err := json.Unmarshal(raw, &seen); err != nil {
		return err
	}
	sock, err := net.ListenUDP("udp4", nil)
	if err != nil {
		return err
	}
	defer sock.Close()
	var got atomic.Int64
	over := make(chan struct{})
	go func() {
		defer close(over)
		buf := make([]byte, 1<<16)
		for {
			n, _, err := sock.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			got.Add(int64(n))
		}
	}()
	send := func(what string, perSecond, count int, packet func(i int) datagram) {
		start, size := time.Now(), 0
		for i := range count {
			time.Sleep(time.Until(start.Add(time.Duration(i) * time.Second / time.Duration(perSecond))))
			d := packet(i)
			if n, err := sock.WriteToUDPAddrPort(d.Data, d.To); err == nil {
				size += n
			}
		}
		fmt.Println("did", what, count, size)
	}
	shaped := probesAndHandshakes(seen)
	if len(shaped) == 0 {
		return fmt.Errorf("no probe among %d datagrams", len(seen))
	}
	send("replayed", 2000, 4000, func(i int) datagram { return seen[i%len(seen)] })
	send("replayed-probes", 1000, 2000, func(i int) datagram { return shaped[i%len(shaped)] })
	types := byType(shaped)
	send("forged", 1000, 3000, func(i int) datagram {
		same := types[i%len(types)]
		d := same[i/len(types)%len(same)]
		d.Data = append([]byte(nil), d.Data...)
		for at := []int{4, 16, 40}[rand.IntN(3)]; at < len(d.Data); at++ { // from its index on, from behind its hint on, or its seal only
			d.Data[at] = byte(rand.Uint32())
		}
		return d
	})
	send("oversized", 200, 300, func(i int) datagram {
		d := shaped[i%len(shaped)]
		d.Data = append(append([]byte(nil), d.Data...), make([]byte, []int{1, 1300, 8000, 60000}[i%4])...)
		return d
	})
	send("stun", 1000, 2000, func(i int) datagram {
		d := datagram{To: seen[i%len(seen)].To, Data: stun.AppendRequest(nil, stun.NewTxID())}
		switch i % 4 {
		case 0:
			d.To = netip.MustParseAddrPort(servers[i/4%len(servers)])
		case 1:
			d.Data = stun.Response{ID: stun.NewTxID(), Mapped: seen[0].To}.Append(nil, false)
		}
		return d
	})
	sock.SetReadDeadline(time.Now().Add(500 * time.Millisecond)) // for the last answers
	<-over
	fmt.Println("got", got.Load())
	return nil
}

// probesAndHandshakes removes the messages of sessions. A pong is as long as a small data
// message, but has another index each time.
func probesAndHandshakes(seen []datagram) (shaped []datagram) {
	indices := map[[4]byte]int{}
	for _, d := range seen {
		if sealed.Type(d.Data) == sealed.Data {
			indices[[4]byte(d.Data[4:])]++
		}
	}
	for _, d := range seen {
		switch t := sealed.Type(d.Data); {
		case t == sealed.Initiation, t == sealed.Response, t == sealed.Data && indices[[4]byte(d.Data[4:])] == 1:
			shaped = append(shaped, d)
		}
	}
	return shaped
}

// byType groups datagrams, so that a frequent type leaves room for the others.
func byType(all []datagram) (groups [][]datagram) {
	at := map[uint32]int{}
	for _, d := range all {
		t := sealed.Type(d.Data)
		if _, ok := at[t]; !ok {
			at[t] = len(groups)
			groups = append(groups, nil)
		}
		groups[at[t]] = append(groups[at[t]], d)
	}
	return groups
}

// report reads the output of an attack.
func report(p *proc) (sent, got int64) {
	for line := range strings.Lines(p.log()) {
		f := strings.Fields(line)
		switch {
		case len(f) == 4 && f[0] == "did":
			n, _ := strconv.ParseInt(f[3], 10, 64)
			sent += n
		case len(f) == 2 && f[0] == "got":
			got, _ = strconv.ParseInt(f[1], 10, 64)
		}
	}
	return sent, got
}

// datagrams returns the datagrams of a capture between two hosts on the wan.
func datagrams(frames [][]byte, a, b netip.Addr) (out []datagram) {
	for _, f := range frames {
		if len(f) < 14+20+8 || f[12] != 8 || f[13] != 0 || f[14] != 0x45 || f[14+9] != 17 {
			continue
		}
		ip, udp := f[14:], f[14+20:]
		from, to := netip.AddrFrom4([4]byte(ip[12:])), netip.AddrFrom4([4]byte(ip[16:]))
		size := int(udp[4])<<8 | int(udp[5])
		if (from == a && to == b || from == b && to == a) && size >= 8 && size <= len(udp) {
			out = append(out, datagram{netip.AddrPortFrom(to, uint16(udp[2])<<8|uint16(udp[3])), udp[8:size]})
		}
	}
	return out
}
