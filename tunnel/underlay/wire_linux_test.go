package underlay

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/netip"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"nexd/internal/sockaddr"
)

// offloads are the native sockets with parts of their powers taken away.
func offloads() map[string]func(uint16, *slog.Logger) (*sockets, error) {
	without := func(gso, gro bool) func(uint16, *slog.Logger) (*sockets, error) {
		return func(port uint16, log *slog.Logger) (*sockets, error) {
			s, err := openSockets(port, log)
			if err != nil {
				return nil, err
			}
			for _, sock := range []socket{s.v4, s.v6} {
				u, ok := sock.(*udpSocket)
				if !ok {
					continue
				}
				if !gso {
					u.gso.Store(false)
				}
				if !gro {
					u.gro = false
					if err := u.raw.Control(func(fd uintptr) { unix.SetsockoptInt(int(fd), unix.IPPROTO_UDP, unix.UDP_GRO, 0) }); err != nil {
						return nil, err
					}
				}
			}
			return s, nil
		}
	}
	return map[string]func(uint16, *slog.Logger) (*sockets, error){
		"offload": openSockets, "no GSO": without(false, true), "no GRO": without(true, false), "batches": without(false, false), "portable": openPortable,
	}
}

// A socket that takes no runs must not lose a packet over it.
func TestRefusedRunsAreSentOneByOne(t *testing.T) {
	l := newLink(t, openSockets, "127.0.0.1")
	u, ok := l.from.socks.Load().v4.(*udpSocket)
	if !ok {
		t.Skip("no batched UDP here")
	}
	// A run of segments larger than the interface's MTU is refused as such.
	var msgs [][]byte
	for i := range 2 {
		msgs = append(msgs, l.data(1452, byte(i)))
	}
	w := newWriter(u)
	if refuse(w, l, msgs, unix.EIO); u.gso.Load() {
		t.Error("GSO is still on after EIO")
	}
	u.gso.Store(true)
	if refused := refuse(w, l, msgs, unix.EINVAL); !refused || !u.gso.Load() {
		t.Error("EINVAL did not count as a refusal of this path only")
	}
	v, got := newVector(batchSize), 0
	for got < 4 {
		n, err := l.fn(v.bufs, v.sizes, v.eps)
		if err != nil {
			t.Fatal(err)
		}
		for i := range n {
			if v.sizes[i] > 0 {
				if !bytes.Equal(v.bufs[i][:v.sizes[i]], msgs[got%2]) {
					t.Errorf("packet %d differs", got)
				}
				got++
			}
		}
	}
}

// refuse sends with a system call that fails once.
func refuse(w *writer, l *link, msgs [][]byte, errno syscall.Errno) (refused bool) {
	real := w.writeFn
	w.writeFn = func(fd uintptr) bool {
		if w.first[w.from+1]-w.first[w.from] > 1 {
			w.errno = errno
			return true
		}
		return real(fd)
	}
	defer func() { w.writeFn = real }()
	namelen := w.addr.Put(l.ep.(*endpoint).addr)
	refused, _ = w.send(msgs, namelen, false)
	return refused
}

// A path that carries less than the tunnel's packets gets fragments, not silence.
func TestAPathOfSmallMTUStillCarries(t *testing.T) {
	for _, ip := range []string{"127.0.0.1", "::1"} {
		t.Run(ip, func(t *testing.T) {
			var l *link
			inNetns(t, 1300, func() { l = newLink(t, openSockets, ip) })
			if l == nil {
				t.Skip("no such family here")
			}
			v := newVector(batchSize)
			var msgs [][]byte
			for i := range 45 {
				msgs = append(msgs, l.data(1452, byte(i)))
			}
			for range 3 {
				for i, got := range l.exchange(t, v, msgs) {
					if !bytes.Equal(got, msgs[i]) {
						t.Fatalf("packet %d differs", i)
					}
				}
			}
			if l.ep.(*endpoint).plain.Load() == 0 {
				t.Error("runs were not refused; the path is no test")
			}
		})
	}
}

// inNetns calls do on a thread in a network namespace of its own, whose loopback
// interface has the given MTU. Sockets made there stay there.
func inNetns(t *testing.T, mtu uint32, do func()) {
	t.Helper()
	skip := make(chan error, 1)
	go func() {
		defer close(skip)
		runtime.LockOSThread() // for good: the thread ends with the goroutine
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			skip <- fmt.Errorf("no network namespace: %w", err)
			return
		}
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
		if err != nil {
			skip <- err
			return
		}
		defer unix.Close(fd)
		for _, set := range []struct {
			what  uint
			value uint32
		}{{unix.SIOCSIFMTU, mtu}, {unix.SIOCSIFFLAGS, unix.IFF_UP}} {
			ifr, err := unix.NewIfreq("lo")
			if err != nil {
				skip <- err
				return
			}
			if ifr.SetUint32(set.value); set.what == unix.SIOCSIFFLAGS {
				ifr.SetUint16(uint16(set.value))
			}
			if err := unix.IoctlIfreq(fd, set.what, ifr); err != nil {
				skip <- err
				return
			}
		}
		do()
	}()
	if err := <-skip; err != nil {
		t.Skip(err)
	}
}

func TestLinkLocalSourcesKeepTheirZone(t *testing.T) {
	var sa sockaddr.Raw
	in := netip.MustParseAddrPort("[fe80::1%7]:9")
	if n := sa.Put(in); n != unix.SizeofSockaddrInet6 || sa.Scope_id != 7 {
		t.Errorf("put: length %d, scope %d", n, sa.Scope_id)
	}
	r := &udpReader{s: &udpSocket{v6: true}}
	r.addrs[0] = sa
	if got := r.source(0); got != in {
		t.Errorf("source = %v", got)
	}
	if sa.Put(netip.MustParseAddrPort("[fe80::1%no-such-interface]:9")); sa.Scope_id != 0 {
		t.Error("an unknown zone has an index")
	}
}

// scatter does what the kernel does with a message of segments.
func (r *udpReader) scatter(i int, msg []byte, segment int, bufs [][]byte) {
	h := &r.hdrs[i]
	h.Len, h.Hdr.Flags = uint32(len(msg)), 0
	h.Hdr.SetControllen(0)
	if segment < len(msg) {
		c := (*unix.Cmsghdr)(unsafe.Pointer(&r.ctrls[i]))
		c.Level, c.Type = unix.SOL_UDP, unix.UDP_GRO
		c.SetLen(unix.CmsgLen(4))
		*(*int32)(unsafe.Add(unsafe.Pointer(c), unix.CmsgLen(0))) = int32(segment)
		h.Hdr.SetControllen(unix.CmsgSpace(4))
	}
	r.addrs[i].Put(netip.AddrPortFrom(netip.IPv4Unspecified(), uint16(i+1)))
	for j := i * r.slots; len(msg) > 0; j++ {
		msg = msg[copy(bufs[j][:r.iovs[j].Len], msg):]
	}
}

// FuzzScatter lays out messages as the kernel would and compares what the reader
// makes of them with a plain cut.
func FuzzScatter(f *testing.F) {
	f.Add(uint8(2), uint16(1452), uint8(127), []byte{45, 5, 172, 1, 5, 172})
	f.Add(uint8(0), uint16(96), uint8(16), []byte{64, 0, 96, 3, 4, 0})
	f.Add(uint8(1), uint16(1452), uint8(127), []byte{64, 5, 0, 64, 5, 172, 1, 0, 40, 20, 5, 172})
	f.Fuzz(func(t *testing.T, group uint8, segment uint16, slots uint8, plan []byte) {
		r := (&udpSocket{gro: true}).newReader().(*udpReader)
		r.group, r.segment = groups[int(group)%len(groups)], max(int(segment), 1)
		v := newVector(1 + int(slots)%batchSize)
		var spans [batchSize]span
		for len(plan) >= 3 {
			var want, got [][]byte
			collect := func(s span) {
				for j := s.first; j < s.first+s.count; j++ {
					got = append(got, bytes.Clone(v.bufs[j][:v.sizes[j]]))
				}
			}
			r.prepare(v.bufs)
			for r.got = 0; r.got < r.messages && len(plan) >= 3; r.got++ {
				seg := 1 + (int(plan[1])<<8|int(plan[2]))%2000
				msg := make([]byte, min(seg*(1+int(plan[0])%64)-int(plan[2])%seg, maxMessage-28))
				for i := range msg {
					msg[i] = byte(i*7 + len(plan))
				}
				for at := 0; at < len(msg); at += seg {
					want = append(want, msg[at:min(at+seg, len(msg))])
				}
				r.scatter(r.got, msg, seg, v.bufs)
				plan = plan[3:]
			}
			for i := range r.got {
				count, src := r.message(i, v.bufs, v.sizes)
				collect(span{i * r.slots, count, src})
			}
			for len(r.waiting) > 0 {
				for _, s := range spans[:r.deliver(v.bufs, v.sizes, spans[:])] {
					collect(s)
				}
			}
			r.adapt()
			if !slices.EqualFunc(got, want, bytes.Equal) {
				t.Fatalf("%d packets, want %d, or they differ", len(got), len(want))
			}
		}
	})
}
