package testmap

import "testing"

func TestLaptopIsTheCallersOwn(t *testing.T) {
	m := Laptop()
	m.Peers[0].Name = "changed"
	m.Self.Prefixes[0] = Prefixes("10.9.0.0/24")[0]
	if again := Laptop(); again.Peers[0].Name != "node1" || again.Self.Prefixes[0] != Advertise(t, "10.7.0.0/24")[0].Prefix {
		t.Errorf("%+v", again)
	}
}
