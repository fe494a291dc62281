package node_test

import (
	"fmt"
	"log/slog"
	"net/netip"
	"runtime/debug"
	"testing"

	"nexd/e2e/meshtest"
	"nexd/mesh"
	"nexd/netmap"
	"nexd/node/datapath"
)

// BenchmarkApply is what one changed node among many costs.
func BenchmarkApply(b *testing.B) {
	for _, nodes := range []int{100, 1000, 10_000} {
		b.Run(fmt.Sprint(nodes), func(b *testing.B) {
			path, key := benchPath(b)
			m := meshtest.ManyNodes(key, nodes, netip.MustParseAddrPort("192.0.2.1:9"))
			v := netmap.New(nil)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				m.Rev++
				m.Peers[i%nodes].Prefixes = []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 200, byte(i), 0}), 24)}
				v, _ = v.Replace(m)
				if err := path.Apply(v); err != nil {
					b.Fatal(err)
				}
				m.Peers[i%nodes].Prefixes = nil
			}
		})
	}
}

// benchPath is an open data path in userspace mode, and its node's key.
func benchPath(b *testing.B) (*datapath.Path, mesh.Key) {
	b.Helper()
	key, err := mesh.NewPrivateKey()
	if err != nil {
		b.Fatal(err)
	}
	path, err := datapath.New(datapath.Config{Key: key, Logger: slog.New(slog.DiscardHandler), OnMapped: func() {}})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(path.Close)
	debug.FreeOSMemory()
	return path, key.Public()
}
