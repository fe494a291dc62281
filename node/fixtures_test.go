package node

import (
	"nexd/internal/testmap"
	"nexd/mesh"
	"nexd/netmap"
)

// testView is the view of a laptop that wants to advertise wanted.
func testView(wanted []mesh.Advertisement) *netmap.View {
	v, _ := netmap.New(wanted).Replace(testmap.Laptop())
	return v
}
