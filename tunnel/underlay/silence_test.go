package underlay

import (
	"testing"
	"time"
)

func TestSilence(t *testing.T) {
	const second = int64(time.Second)
	var s silence
	if got := s.begun(second, 0); got != 0 {
		t.Errorf("nothing sent: %d", got)
	}
	s.sent(10*second, 9*second)
	s.sent(12*second, 9*second)
	if got := s.begun(13*second, 9*second); got != 10*second {
		t.Errorf("silent since %d, want 10 s", got)
	}
	if got := s.begun(13*second, 11*second); got != 0 {
		t.Errorf("a packet came, but silent since %d", got)
	}
	s.sent(14*second, 11*second)
	if got := s.begun(15*second, 11*second); got != 14*second {
		t.Errorf("silent since %d, want 14 s", got)
	}
	if got := s.begun(16*second, 15*second); got != 0 {
		t.Errorf("an answer came, but silent since %d", got)
	}
	s.sent(17*second, 15*second)
	if got := s.begun(17*second+sendsLately+1, 15*second); got != 0 {
		t.Errorf("nothing is sent any more, but silent since %d", got)
	}
	s.forget()
	if got := s.begun(18*second, 15*second); got != 0 {
		t.Errorf("at rest, but silent since %d", got)
	}
}
