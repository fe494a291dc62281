package agent

import (
	"errors"
	"strings"
	"testing"

	"nexd/mesh"
	"nexd/node"
)

// A hint follows the node's own words, and changes neither cause nor kind.
func TestHintsNameTheFlag(t *testing.T) {
	for _, tt := range []struct {
		cause error
		hint  string
	}{
		{node.ErrStateInUse, "--state-dir"},
		{node.ErrOtherService, "--state-dir"},
		{node.ErrOtherPin, "new --state-dir"},
		{node.ErrRemoved, "another --state-dir"},
		{node.ErrCodeExpired, "run the same command again"},
		{node.ErrNotEncrypted, "--insecure-http"},
		{node.ErrNoTLS, "--insecure-http"},
		{node.ErrNoTUN, "without --tun"},
		{node.ErrInterface, "--interface=NAME"},
		{node.ErrPortTaken, "--listen-port"},
		{errors.New("something else"), ""},
	} {
		err := mesh.Errorf(mesh.Conflict, "node: %w: why", tt.cause)
		got := Hinted(err)
		own, hint, found := strings.Cut(got.Error(), "why")
		if own+"why" != err.Error() || found != true || !strings.Contains(hint, tt.hint) || tt.hint == "" && hint != "" {
			t.Errorf("%v became %v", err, got)
		}
		if !errors.Is(got, tt.cause) || mesh.KindOf(got) != mesh.Conflict {
			t.Errorf("%v hides its cause or kind (%v)", got, mesh.KindOf(got))
		}
	}
	if Hinted(nil) != nil {
		t.Error("no error became one")
	}
}
