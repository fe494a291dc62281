package udp

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
func offloads() map[string]func(uint16, *slog.Logger) (*Sockets, error) {
	without := func(gso, gro bool) func(uint16, *slog.Logger) (*Sockets, error) {
		return func(port uint16, log *slog.Logger) (*Sockets, error) {
			s, err := Open(port, log)
			if err != nil {
				return nil, err
			}
			for _, sock := range []socket{s.v4, s.v6} {
				u, ok := sock.(*batchSocket)
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
	return map[string]func(uint16, *slog.Logger) (*Sockets, error){
		"offload": Open, "no GSO": without(false, true), "no GRO": without(true, false), "batches": without(false, false), "portable": OpenPortable,
	}
}

// A socket that takes no runs must not lose a packet over it.
func TestRefusedRunsAreSentOneByOne(t *testing.T) {
	l := newLink(t, Open, "127.0.0.1")
	u, ok := l.from.v4.(*batchSocket)
	if !ok {
		t.Skip("no batched UDP here")
	}
	// A run of segments larger than the interface's MTU is refused as such.
	var msgs [][]byte
	for i := range 2 {
		msgs = append(msgs, datagram(1452, byte(i)))
	}
	w := newWriter(u)
	if refuse(w, l, msgs, unix.EIO); u.gso.Load() {
		t.Error("GSO is still on after EIO")
	}
	u.gso.Store(true)
	if refused := refuse(w, l, msgs, unix.EINVAL); !refused || !u.gso.Load() {
		t.Error("EINVAL did not count as a refusal of this path only")
	}
	v, got := newVector(BatchSize), 0
	for got < 4 {
		for _, d := range l.receive(t, v) {
			if !bytes.Equal(d, msgs[got%2]) {
				t.Errorf("packet %d differs", got)
			}
			got++
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
	namelen := w.addr.Put(l.dst)
	r, _ := w.send(msgs, namelen, false)
	return r.Run
}

// A path that carries less than the packets gets fragments, and Send reports that it
// refuses runs.
func TestAPathOfSmallMTUStillCarries(t *testing.T) {
	for _, ip := range []string{"127.0.0.1", "::1"} {
		t.Run(ip, func(t *testing.T) {
			var l *link
			inNetns(t, 1300, func() { l = newLink(t, Open, ip) })
			if l == nil {
				t.Skip("this host lacks the address family")
			}
			v := newVector(BatchSize)
			var msgs [][]byte
			for i := range 45 {
				msgs = append(msgs, datagram(1452, byte(i)))
			}
			refusals := 0
			for range 3 {
				refused, err := l.from.SendFrom(msgs, l.dst, netip.Addr{}, false)
				if err != nil {
					t.Fatal(err)
				}
				if refused.Run {
					refusals++
				}
				for i := 0; i < len(msgs); {
					for _, got := range l.receive(t, v) {
						if !bytes.Equal(got, msgs[i]) {
							t.Fatalf("packet %d differs", i)
						}
						i++
					}
				}
			}
			if refusals == 0 {
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
	r := &batchReader{s: &batchSocket{v6: true}}
	r.addrs[0] = sa
	if got := r.source(0); got != in {
		t.Errorf("source = %v", got)
	}
	if sa.Put(netip.MustParseAddrPort("[fe80::1%no-such-interface]:9")); sa.Scope_id != 0 {
		t.Error("an unknown zone has an index")
	}
}

// scatter does what the kernel does with a message of segments.
func (r *batchReader) scatter(i int, msg []byte, segment int, bufs [][]byte) {
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
		r := (&batchSocket{gro: true}).newReader().(*batchReader)
		r.group, r.segment = groups[int(group)%len(groups)], max(int(segment), 1)
		v := newVector(1 + int(slots)%BatchSize)
		var spans [BatchSize]Span
		for len(plan) >= 3 {
			var want, got [][]byte
			collect := func(s Span) {
				for j := s.First; j < s.First+s.Count; j++ {
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
				collect(r.message(i, v.bufs, v.sizes))
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
