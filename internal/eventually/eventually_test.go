package eventually_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"nexd/internal/eventually"
)

func TestWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start, asked := time.Now(), 0
		took := eventually.True(t, "ten seconds have passed", func() bool {
			asked++
			return time.Since(start) >= 10*time.Second
		})
		if took < 10*time.Second || took > 10*time.Second+100*time.Millisecond || asked > 300 {
			t.Errorf("took %v, asked %d times", took, asked)
		}
		if took := eventually.True(t, "it is so already", func() bool { return true }); took != 0 {
			t.Errorf("took %v", took)
		}
	})
}

// recorder is a test that notes its failure.
type recorder struct {
	testing.TB
	failure string
}

func (r *recorder) Helper() {}

func (r *recorder) Fatalf(format string, args ...any) {
	r.failure = fmt.Sprintf(format, args...)
	panic(r) // as FailNow, it does not return
}

func TestGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, start, asked := &recorder{TB: t}, time.Now(), 0
		func() {
			defer func() { recover() }()
			eventually.Shown(r, time.Second, func() string { return fmt.Sprintf("asked %d times", asked) }, func() bool { asked++; return false })
		}()
		if want := fmt.Sprintf("not within 1s: asked %d times", asked); r.failure != want || asked < 2 {
			t.Errorf("failed with %q, want %q", r.failure, want)
		}
		if took := time.Since(start); took < time.Second || took > 2*time.Second {
			t.Errorf("gave up after %v", took)
		}
		func() {
			defer func() { recover() }()
			eventually.True(r, "the moon is cheese", func() bool { return false })
		}()
		if r.failure != "not within 30s: the moon is cheese" {
			t.Errorf("failed with %q", r.failure)
		}
	})
}

func TestStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		eventually.Stays(t, 3*time.Second, "nothing happens", func() bool { return true })
		if took := time.Since(start); took < 3*time.Second || took > 3*time.Second+100*time.Millisecond {
			t.Errorf("looked for %v", took)
		}
		r := &recorder{TB: t}
		func() {
			defer func() { recover() }()
			start := time.Now()
			eventually.Stays(r, 3*time.Second, "nothing happens", func() bool { return time.Since(start) < time.Second })
		}()
		if !strings.HasPrefix(r.failure, "no longer so after 1") || !strings.HasSuffix(r.failure, "s: nothing happens") {
			t.Errorf("failed with %q", r.failure)
		}
	})
}

func TestSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		if took, held := eventually.Soon(time.Second, func() bool { return false }); held || took < time.Second {
			t.Errorf("held is %v after %v", held, took)
		}
		if took, held := eventually.Soon(time.Second, func() bool { return true }); !held || took != 0 {
			t.Errorf("held is %v after %v", held, took)
		}
	})
}
