package agent

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"nexd/forward/router"
	"nexd/mesh"
)

func TestChooseMode(t *testing.T) {
	may := func() error { return nil }
	mayNot := func() error { return mesh.Errorf(mesh.Denied, "tundev: the capability CAP_NET_ADMIN is missing") }
	local := []router.Allow{{Prefix: netip.MustParsePrefix("127.0.0.1/32")}}
	for _, tt := range []struct {
		name            string
		cfg             Config
		probe           func() error
		mode, why, fail string
	}{
		{"auto where it may", Config{}, may, "tun", "may make", ""},
		{"auto where not", Config{}, mayNot, "userspace", "CAP_NET_ADMIN", ""},
		{"auto with local targets", Config{AllowLocal: local}, may, "userspace", "--allow-local", ""},
		{"asked for TUN", Config{Mode: TUN}, may, "tun", "asked", ""},
		{"TUN where not", Config{Mode: TUN}, mayNot, "", "", "CAP_NET_ADMIN"},
		{"TUN with local targets", Config{Mode: TUN, AllowLocal: local}, may, "", "", "--allow-local"},
		{"userspace", Config{Mode: Userspace}, func() error { return errors.New("not to be asked") }, "userspace", "asked", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			mode, why, err := chooseMode(tt.cfg, tt.probe)
			if mode != tt.mode || !strings.Contains(why, tt.why) {
				t.Errorf("mode %q because %q", mode, why)
			}
			if (err != nil) != (tt.fail != "") || err != nil && !strings.Contains(err.Error(), tt.fail) {
				t.Errorf("error %v, want %q", err, tt.fail)
			}
		})
	}
}
