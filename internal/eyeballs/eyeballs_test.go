package eyeballs

import (
	"context"
	"net"
	"net/netip"
	"os"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"nexd/internal/testmap"
)

func TestInterleave(t *testing.T) {
	in := testmap.Addrs("2001:db8::1", "2001:db8::2", "2001:db8::3", "192.0.2.1")
	want := testmap.Addrs("2001:db8::1", "192.0.2.1", "2001:db8::2", "2001:db8::3")
	if got := Interleave(in); !slices.Equal(got, want) {
		t.Errorf("%v", got)
	}
}

// attempt is a connection of TestDial that reports whether it was closed.
type attempt struct {
	net.Conn
	to     string
	closed bool
}

func (r *attempt) Close() error { r.closed = true; return nil }

func TestDial(t *testing.T) {
	targets := []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:1"), netip.MustParseAddrPort("192.0.2.2:1"), netip.MustParseAddrPort("192.0.2.3:1")}
	for _, tt := range []struct {
		name string
		take []time.Duration // each target's answer; negative: a failure after so long
		won  int             // -1: all fail
		at   time.Duration
	}{
		{"first answers", []time.Duration{time.Millisecond, 0, 0}, 0, time.Millisecond},
		{"first is silent", []time.Duration{time.Hour, time.Millisecond, 0}, 1, 251 * time.Millisecond},
		{"first fails", []time.Duration{-time.Millisecond, time.Millisecond, 0}, 1, 2 * time.Millisecond},
		{"first is slow but wins", []time.Duration{300 * time.Millisecond, time.Second, 0}, 0, 300 * time.Millisecond},
		{"all fail", []time.Duration{-1, -1, -1}, -1, 3},
		{"all are silent", []time.Duration{time.Hour, time.Hour, time.Hour}, -1, time.Minute},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				begin := time.Now()
				var made []*attempt
				c, err := Dial(ctx, targets, func(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
					d := tt.take[slices.Index(targets, to)]
					select {
					case <-time.After(max(d, -d)):
					case <-ctx.Done():
						return nil, ctx.Err()
					}
					if d < 0 {
						return nil, os.ErrDeadlineExceeded
					}
					made = append(made, &attempt{to: to.String()})
					return made[len(made)-1], nil
				})
				if took := time.Since(begin); took != tt.at {
					t.Errorf("took %v, want %v", took, tt.at)
				}
				if tt.won < 0 {
					if err == nil {
						t.Error("no error")
					}
					return
				}
				if err != nil || c.(*attempt).to != targets[tt.won].String() || c.(*attempt).closed {
					t.Errorf("%v, %v", c, err)
				}
				for _, m := range made {
					if m != c && !m.closed {
						t.Errorf("%s was left open", m.to)
					}
				}
			})
		})
	}
}
