package admin

import (
	"errors"
	"testing"

	"nexd/internal/program"
	"nexd/mesh"
)

// What the commands ask of a service and print is tested with the whole command line,
// in cmd/nexd.

func TestSpansAreInDaysToo(t *testing.T) {
	for in, want := range map[string]int64{"": 0, "0": 0, "12h": 43200, "30d": 30 * 86400, "1s": 1} {
		if got, err := span("expires", in); got != want || err != nil {
			t.Errorf("%q = %d, %v; want %d", in, got, err, want)
		}
	}
	for _, in := range []string{"soon", "-1h", "-3d", "1ms", "d", "99999999999999d"} {
		if got, err := span("expires", in); !errors.As(err, new(program.UsageError)) {
			t.Errorf("%q = %d, %v; want wrong usage", in, got, err)
		}
	}
}

func TestForeignTextSteersNoTerminal(t *testing.T) {
	if got := plain("a\x1b[2J\u202eb\u2028c\xffd"); got != "a[2Jbc?d" {
		t.Errorf("%q", got)
	}
}

func TestAnInvitationIsALinkOrItsToken(t *testing.T) {
	for _, in := range []string{"https://mesh.example.org/invite/TOKEN", "TOKEN"} {
		if got := inviteToken(in); got != "TOKEN" {
			t.Errorf("%q: %q", in, got)
		}
	}
}

func TestAServiceThatIsAwayIsUnreachable(t *testing.T) {
	if err := adminError(mesh.Errorf(mesh.Unavailable, "away")); program.Code(err) != program.ExitUnreachable {
		t.Errorf("%v: exit %d", err, program.Code(err))
	}
	if err := adminError(mesh.Errorf(mesh.NotFound, "none")); program.Code(err) != program.ExitFailed {
		t.Errorf("%v: exit %d", err, program.Code(err))
	}
}
