package stun_test

import (
	"net/netip"
	"testing"

	"nexd/internal/stun"
)

func TestProbesAreRead(t *testing.T) {
	for _, size := range []int{0, stun.ProbeSize, 548, 1300, stun.MaxSize, stun.MaxSize + 1000} {
		for _, change := range []stun.Change{0, stun.Asked, stun.Asked | stun.ChangePort, stun.Asked | stun.ChangeAddr, stun.Asked | stun.ChangeAddr | stun.ChangePort} {
			id := stun.NewTxID()
			b := stun.AppendProbe([]byte("before"), id, change, size)[6:]
			if want := min(max(size, stun.ProbeSize), stun.MaxSize) &^ 3; len(b) != want {
				t.Errorf("asked for %d bytes, it has %d; want %d", size, len(b), want)
			}
			if r, err := stun.ParseRequest(b); err != nil || r.ID != id || r.Change != change {
				t.Errorf("%d bytes with change %b: %+v, %v", size, change, r, err)
			}
			if n := len(stun.Response{ID: id, Mapped: seen6, Other: seen6}.Append(nil, true)); n > len(b) {
				t.Errorf("an answer of %d bytes to a probe of %d", n, len(b))
			}
		}
	}
}

func TestOtherAddressIsRead(t *testing.T) {
	for _, other := range []netip.AddrPort{{}, seen4, seen6} {
		want := stun.Response{ID: stun.NewTxID(), Mapped: seen4, Other: other}
		for _, fp := range []bool{false, true} {
			if got, err := stun.ParseResponse(want.Append(nil, fp)); err != nil || got != want {
				t.Errorf("%+v became %+v, %v", want, got, err)
			}
		}
	}
}

func TestAWrongChangeRequestIsRefused(t *testing.T) {
	b := stun.AppendProbe(nil, stun.NewTxID(), stun.Asked, 0)
	b[stun.HeaderSize+3] = 0 // its value has no bytes, and four are left over
	if r, err := stun.ParseRequest(b); err == nil {
		t.Errorf("taken as %+v", r)
	}
}

func TestMappingOfWhatServersSaw(t *testing.T) {
	const a, b, a2, b2 = "192.0.2.1:3478", "192.0.2.1:3479", "192.0.2.2:3478", "192.0.2.2:3479"
	const x, y, z = "203.0.113.7:4000", "203.0.113.7:4001", "203.0.113.7:4002"
	for _, tt := range []struct {
		name  string
		seen  [][2]string // server, mapped
		local string
		want  stun.Mapping
	}{
		{"nothing", nil, x, stun.MappingUnknown},
		{"one server", [][2]string{{a, x}}, "10.1.0.2:4000", stun.MappingUnknown},
		{"one server and no NAT", [][2]string{{a, x}}, x, stun.NoMapping},
		{"the same server twice", [][2]string{{a, x}, {a, y}}, "", stun.MappingUnknown},
		{"two ports alike", [][2]string{{a, x}, {b, x}}, "", stun.PortlessMapping},
		{"two ports differ", [][2]string{{a, x}, {b, y}}, "", stun.AddressPortMapping},
		{"two addresses alike", [][2]string{{a, x}, {a2, x}}, "", stun.EndpointMapping},
		{"two addresses differ", [][2]string{{a, x}, {a2, y}}, "", stun.DependentMapping},
		{"by address only", [][2]string{{a, x}, {b, x}, {a2, y}, {b2, y}}, "", stun.AddressMapping},
		{"by port, too", [][2]string{{a, x}, {b, y}, {a2, z}}, "", stun.AddressPortMapping},
		{"all alike, no NAT", [][2]string{{a, x}, {b, x}, {a2, x}}, x, stun.NoMapping},
	} {
		var sights []stun.Sight
		for _, s := range tt.seen {
			sights = append(sights, stun.Sight{Server: netip.MustParseAddrPort(s[0]), Mapped: netip.MustParseAddrPort(s[1])})
		}
		var local []netip.AddrPort
		if tt.local != "" {
			local = append(local, netip.MustParseAddrPort(tt.local))
		}
		if got := stun.MappingOf(sights, local...); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}
