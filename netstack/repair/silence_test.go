package repair

import (
	"fmt"
	"strings"
	"testing"
)

// A connection is asked a few times after its last bytes, and not again before there are more.
func TestAConnectionThatFallsSilentIsAsked(t *testing.T) {
	const dead, alive, drains = "dead", "alive", "dead, with bytes in a buffer"
	for _, tt := range []struct {
		name, peer string
		bytes      func(tick int) bool // moved before the tick
		asked      string              // at which ticks
	}{
		{"the peer lives", alive, func(tick int) bool { return tick == 0 }, "4 13"},
		{"the peer is dead", dead, func(tick int) bool { return tick == 0 }, "4 7 10 13"},
		{"the peer is dead and a buffer drains", drains, func(tick int) bool { return true }, "4 7 10 13"},
		{"bytes every second", alive, func(int) bool { return true }, ""},
		{"bytes every three seconds", alive, func(tick int) bool { return tick%3 == 0 }, ""},
		{"bytes every ten seconds", alive, func(tick int) bool { return tick%10 == 0 }, "4 14 24 34 44 54"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := silence{left: askSilence[0]}
			var asked []string
			heard, watch := uint64(0), true
			for tick := range 60 {
				moved := tt.bytes(tick)
				if moved && (tt.peer != drains || tick == 0) {
					heard++
				}
				if moved && tt.peer != drains && !watch { // as use does
					s = silence{left: askSilence[0], heard: s.heard}
					watch = true
				}
				if !watch {
					continue
				}
				var ask bool
				ask, watch = s.tick(moved, heard)
				if ask {
					asked = append(asked, fmt.Sprint(tick))
					if tt.peer == alive {
						heard++
					}
				}
			}
			if got := strings.Join(asked, " "); got != tt.asked {
				t.Errorf("asked at %s, want %s", got, tt.asked)
			}
		})
	}
}
