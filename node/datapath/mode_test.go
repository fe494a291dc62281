package datapath

import (
	"errors"
	"strings"
	"testing"

	"nexd/mesh"
)

func TestChooseMode(t *testing.T) {
	may := func() error { return nil }
	mayNot := func() error { return mesh.Errorf(mesh.Denied, "tundev: the capability CAP_NET_ADMIN is missing") }
	for _, tt := range []struct {
		name            string
		mode            Mode
		local, memory   bool
		probe           func() error
		want, why, fail string
	}{
		{"auto where it may", Auto, false, false, may, "tun", "may make", ""},
		{"auto where not", Auto, false, false, mayNot, "userspace", "CAP_NET_ADMIN", ""},
		{"auto with local targets", Auto, true, false, may, "userspace", "allow-local", ""},
		{"asked for TUN", TUN, false, false, may, "tun", "asked", ""},
		{"TUN where not", TUN, false, false, mayNot, "", "", "CAP_NET_ADMIN"},
		{"TUN with local targets", TUN, true, false, may, "", "", "allow-local"},
		{"auto in memory", Auto, false, true, may, "userspace", "state directory", ""},
		{"TUN in memory", TUN, false, true, may, "", "", "state directory"},
		{"userspace", Userspace, false, false, func() error { return errors.New("not to be asked") }, "userspace", "asked", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := choose(tt.mode, tt.local, !tt.memory, tt.probe)
			if err == nil && got.String() != tt.want || !strings.Contains(got.Why, tt.why) {
				t.Errorf("mode %v because %q", got, got.Why)
			}
			if (err != nil) != (tt.fail != "") || err != nil && !(strings.Contains(err.Error(), tt.fail) && errors.Is(err, ErrNoTUN)) {
				t.Errorf("error %v, want %q", err, tt.fail)
			}
		})
	}
}
