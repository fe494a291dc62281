package splice

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"nexd/internal/leak"
)

func TestHalfCloseIsCarriedAcross(t *testing.T) {
	leak.Check(t)
	for name, order := range map[string]func(a, b link) (first, last net.Conn){
		"a first": func(a, b link) (_, _ net.Conn) { return a.peer, b.peer },
		"b first": func(a, b link) (_, _ net.Conn) { return b.peer, a.peer },
	} {
		t.Run(name, func(t *testing.T) {
			eachPair(t, func(t *testing.T, a, b link) {
				done := start(t.Context(), Options{}, a, b)
				first, last := order(a, b)
				send1(t, first, "question")
				shut(t, first)
				expect(t, last, "question")
				expectEOF(t, last)
				send1(t, last, "late answer")
				expect(t, first, "late answer")
				shut(t, last)
				expectEOF(t, first)
				r := await(t, done)
				if r.err != nil || r.ab+r.ba != int64(len("question")+len("late answer")) {
					t.Errorf("Pipe = %+v", r)
				}
			})
		})
	}
}

func TestBigTransfersBothWays(t *testing.T) {
	leak.Check(t)
	size := 64 << 20
	if testing.Short() {
		size = 4 << 20
	}
	for _, pair := range [][2]string{{"tcp", "tcp"}, {"tcp", "mesh"}, {"mesh", "tcp"}, {"plain", "tcp"}, {"unix", "mesh"}} {
		t.Run(pair[0]+"-"+pair[1], func(t *testing.T) {
			a, b := wires[pair[0]](t), wires[pair[1]](t)
			var up, down atomic.Int64
			done := start(t.Context(), Options{AToB: &up, BToA: &down}, a, b)
			var wg sync.WaitGroup
			for i, dir := range [][2]net.Conn{{a.peer, b.peer}, {b.peer, a.peer}} {
				sent, got := sha256.New(), sha256.New()
				wg.Go(func() {
					src := io.LimitReader(rand.NewChaCha8([32]byte{byte(i)}), int64(size))
					io.Copy(io.MultiWriter(dir[0], sent), src)
					shut(t, dir[0])
				})
				wg.Go(func() { io.Copy(got, dir[1]) })
				defer func() {
					if string(sent.Sum(nil)) != string(got.Sum(nil)) {
						t.Errorf("direction %d: the bytes differ", i)
					}
				}()
			}
			wg.Wait()
			r := await(t, done)
			if want := int64(size); r.err != nil || r.ab != want || r.ba != want || up.Load() != want || down.Load() != want {
				t.Errorf("Pipe = %+v, counters %d and %d; want %d each", r, up.Load(), down.Load(), want)
			}
		})
	}
}

func TestResetIsCarriedAcross(t *testing.T) {
	leak.Check(t)
	for _, an := range []string{"tcp", "mesh", "plain"} {
		for _, bn := range []string{"tcp", "mesh", "plain"} {
			t.Run(an+"-"+bn, func(t *testing.T) {
				a, b := wires[an](t), wires[bn](t)
				done := start(t.Context(), Options{}, a, b)
				send1(t, a.peer, "x")
				expect(t, b.peer, "x")
				a.peer.(*net.TCPConn).SetLinger(0)
				a.peer.Close()
				if _, err := b.peer.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
					t.Errorf("the other side read %v, want a reset", err)
				}
				if r := await(t, done); r.err != nil {
					t.Errorf("a peer's reset is reported: %v", r.err)
				}
			})
		}
	}
}

// A server that answers without reading the whole request and closes: the
// answer comes through although the request cannot be written any more.
func TestEarlyAnswerIsHeard(t *testing.T) {
	leak.Check(t)
	for _, kind := range []string{"tcp", "mesh", "plain"} {
		t.Run(kind, func(t *testing.T) {
			a, b := tcpLink(t), wires[kind](t)
			done := start(t.Context(), Options{}, a, b)
			var wg sync.WaitGroup
			wg.Go(func() { // the upload, which will be cut
				for {
					if _, err := a.peer.Write(make([]byte, 64<<10)); err != nil {
						return
					}
				}
			})
			expect(t, b.peer, "\x00")
			send1(t, b.peer, "413 too much")
			expect(t, a.peer, "413 too much")
			b.peer.Close() // with unread data: a reset
			wg.Wait()
			if r := await(t, done); r.err != nil || r.ba != int64(len("413 too much")) {
				t.Errorf("Pipe = %+v", r)
			}
		})
	}
}

func TestContextHangsUp(t *testing.T) {
	leak.Check(t)
	eachPair(t, func(t *testing.T, a, b link) {
		ctx, cancel := context.WithCancel(t.Context())
		done := start(ctx, Options{}, a, b)
		send1(t, a.peer, "x")
		expect(t, b.peer, "x")
		begin := time.Now()
		cancel()
		if r := await(t, done); r.err != nil || r.ab != 1 {
			t.Errorf("Pipe = %+v", r)
		}
		if took := time.Since(begin); took > 10*time.Second {
			t.Errorf("it took %v", took)
		}
		for _, c := range []net.Conn{a.peer, b.peer} {
			if n, err := c.Read(make([]byte, 1)); n > 0 || err == nil {
				t.Error("a side is still open")
			}
		}
	})
}

func TestContextHangsUpBlockedWriters(t *testing.T) {
	leak.Check(t)
	for _, kind := range []string{"tcp", "unix", "mesh", "plain"} {
		t.Run(kind, func(t *testing.T) {
			a, b := tcpLink(t), wires[kind](t)
			ctx, cancel := context.WithCancel(t.Context())
			done := start(ctx, Options{}, a, b)
			stuff(t, a.peer)
			cancel()
			await(t, done)
		})
	}
}

func TestAnEndedContextIsAnEnd(t *testing.T) {
	leak.Check(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	a, b := tcpLink(t), tcpLink(t)
	if r := await(t, start(ctx, Options{}, a, b)); r.err != nil {
		t.Errorf("Pipe = %+v", r)
	}
}

func TestHeadGoesFirst(t *testing.T) {
	leak.Check(t)
	a, b := tcpLink(t), meshLink(t)
	send1(t, a.peer, " world")
	done := start(t.Context(), Options{Head: []byte("hello")}, a, b)
	expect(t, b.peer, "hello world")
	shut(t, a.peer)
	shut(t, b.peer)
	if r := await(t, done); r.err != nil || r.ab != int64(len("hello world")) {
		t.Errorf("Pipe = %+v", r)
	}
}

func TestIdleLimits(t *testing.T) {
	for _, tt := range []struct {
		name         string
		o            Options
		talk         int // seconds during which a sends every second
		half         bool
		after, until time.Duration
		err          error
	}{
		{"idle from the start", Options{Idle: 8 * time.Second}, 0, false, 8 * time.Second, 10 * time.Second, ErrIdle},
		{"talk, then silence", Options{Idle: 8 * time.Second}, 60, false, 67 * time.Second, 70 * time.Second, ErrIdle},
		{"half-closed is shorter", Options{Idle: time.Hour, HalfIdle: 8 * time.Second}, 60, true, 66 * time.Second, 72 * time.Second, ErrIdle},
		{"open is not half-closed", Options{Idle: time.Hour, HalfIdle: 8 * time.Second}, 1, false, time.Hour, time.Hour + time.Minute, ErrIdle},
		{"only half-closed is limited", Options{HalfIdle: 8 * time.Second}, 0, true, 8 * time.Second, 12 * time.Second, ErrIdle},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ap, ao := net.Pipe()
				bp, bo := net.Pipe()
				begin := time.Now()
				done := start(t.Context(), tt.o, link{ap, ao}, link{bp, halfCloser{bo}})
				go io.Copy(io.Discard, bp)
				for range tt.talk {
					send1(t, ap, "x")
					time.Sleep(time.Second)
				}
				if tt.half {
					ap.Close()
				}
				r := <-done
				if took := time.Since(begin); r.err != tt.err || took < tt.after || took > tt.until {
					t.Errorf("Pipe = %+v after %v; want %v after %v to %v", r, took, tt.err, tt.after, tt.until)
				}
			})
		})
	}
}

// halfCloser swallows the half-close, like a peer that does not react to it.
type halfCloser struct{ net.Conn }

func (halfCloser) CloseWrite() error { return nil }

func TestNoLimitWaitsForever(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ap, ao := net.Pipe()
		bp, bo := net.Pipe()
		done := start(t.Context(), Options{}, link{ap, ao}, link{bp, bo})
		time.Sleep(1000 * time.Hour)
		select {
		case r := <-done:
			t.Fatalf("Pipe = %+v", r)
		default:
		}
		ap.Close() // a connection without CloseWrite: its EOF closes the other
		expectEOF(t, bp)
		if r := <-done; r.err != nil {
			t.Errorf("Pipe = %+v", r)
		}
	})
}

// brokenConn fails in a way that no peer's hang-up explains.
type brokenConn struct{ net.Conn }

func (brokenConn) Read([]byte) (int, error) { return 0, syscall.ETIMEDOUT }

func TestRealFailuresAreReported(t *testing.T) {
	leak.Check(t)
	a, b := tcpLink(t), tcpLink(t)
	_, _, err := Options{}.Pipe(t.Context(), a.ours, brokenConn{b.ours})
	if !errors.Is(err, syscall.ETIMEDOUT) || !strings.HasPrefix(err.Error(), "splice: between 127.0.0.1:") {
		t.Errorf("Pipe error = %v", err)
	}
	if _, err := a.peer.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the other side read %v, want a reset", err)
	}
}

// A reset in the middle of an upload is told to a writer or to a reader, whoever
// looks first. Either way the client must not take it for the end of the answer.
func TestResetDuringUploadIsNoEOF(t *testing.T) {
	leak.Check(t)
	for kind, other := range wires {
		if kind == "unix" {
			continue // has no resets
		}
		t.Run(kind, func(t *testing.T) {
			for range 20 {
				a, b := tcpLink(t), other(t)
				done := start(t.Context(), Options{}, a, b)
				send1(t, b.peer, "x")
				expect(t, a.peer, "x")
				b.peer.(*net.TCPConn).SetReadBuffer(4 << 10)
				stuff(t, a.peer)
				expect(t, b.peer, "\x00") // some is there, and more
				b.peer.Close()            // with unread data
				if n, err := a.peer.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
					t.Fatalf("the client read %d bytes, %v; want a reset", n, err)
				}
				if r := await(t, done); r.err != nil {
					t.Errorf("Pipe = %+v", r)
				}
			}
		})
	}
}

// The other side's end is passed on although a writer to it is stuck.
func TestEndIsPassedOnPastAStuckWriter(t *testing.T) {
	leak.Check(t)
	for kind, other := range wires {
		t.Run(kind, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			a, b := tcpLink(t), other(t)
			done := start(ctx, Options{}, a, b)
			stuff(t, a.peer)
			send1(t, b.peer, "enough")
			shut(t, b.peer) // but it does not close, and may read later
			expect(t, a.peer, "enough")
			expectEOF(t, a.peer)
			cancel()
			await(t, done)
		})
	}
}
