package datagram_test

import (
	"testing"
	"testing/synctest"
	"time"

	"nexd/internal/datagram"
)

// ended starts a timer that is idle from now on, and returns after how long it ended.
func ended(limit time.Duration, during func(*datagram.IdleTimer)) time.Duration {
	began := time.Now()
	over := make(chan time.Time, 2)
	idle := datagram.NewIdleTimer(limit, func() { over <- time.Now() })
	defer idle.Stop()
	during(idle)
	return (<-over).Sub(began)
}

func TestIdleTimer(t *testing.T) {
	for _, tt := range []struct {
		name   string
		during func(*datagram.IdleTimer)
		want   time.Duration
	}{
		{"nothing moves", func(*datagram.IdleTimer) {}, 10 * time.Second},
		{"something moves", func(i *datagram.IdleTimer) { time.Sleep(9 * time.Second); i.Touch() }, 19 * time.Second},
		{"longer limit", func(i *datagram.IdleTimer) { time.Sleep(9 * time.Second); i.SetLimit(15 * time.Second) }, 15 * time.Second},
		{"shorter limit", func(i *datagram.IdleTimer) {
			time.Sleep(time.Second)
			i.Touch()
			time.Sleep(time.Second)
			i.SetLimit(3 * time.Second)
		}, 4 * time.Second},
		{"shorter limit that is over", func(i *datagram.IdleTimer) { time.Sleep(9 * time.Second); i.SetLimit(time.Second) }, 9 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				if got := ended(10*time.Second, tt.during); got != tt.want {
					t.Errorf("ended after %v, want %v", got, tt.want)
				}
			})
		})
	}
}

func TestIdleTimerStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		idle := datagram.NewIdleTimer(time.Second, func() { t.Error("a stopped timer fired") })
		idle.Stop()
		idle.SetLimit(time.Millisecond)
		time.Sleep(time.Minute)
	})
}
