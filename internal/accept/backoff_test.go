package accept_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"nexd/internal/accept"
)

func TestBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b accept.Backoff
		began := time.Now()
		for i := range 10 {
			if b.Failures() != i {
				t.Errorf("%d failures after %d waits", b.Failures(), i)
			}
			b.Wait(t.Context())
		}
		if got, want := time.Since(began), (5+10+20+40+80+160+320+640+1000+1000)*time.Millisecond; got != want {
			t.Errorf("ten pauses took %v, want %v", got, want)
		}
		b.Reset()
		began = time.Now()
		b.Wait(t.Context())
		if got := time.Since(began); got != 5*time.Millisecond {
			t.Errorf("a pause of %v after Reset", got)
		}
		over, cancel := context.WithCancel(t.Context())
		cancel()
		b.Wait(over)
		if got := time.Since(began); got != 5*time.Millisecond {
			t.Error("Wait does not end with its context")
		}
	})
}
