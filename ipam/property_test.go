package ipam_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"nexd/ipam"
	"nexd/mesh"
)

// naive holds prefixes as a list and compares each with each.
type naive map[netip.Prefix]mesh.NodeID

// want says what Hold must do: nil, or which holdings it may name as in the way.
func (n naive) want(p netip.Prefix, owner mesh.NodeID) (ok bool, inTheWay map[netip.Prefix]bool) {
	inTheWay = map[netip.Prefix]bool{}
	for q := range n {
		if q.Overlaps(p) {
			inTheWay[q] = true
		}
	}
	return len(inTheWay) == 0 || n[p] == owner, inTheWay
}

// randomPrefix takes its addresses from few, so that prefixes nest and meet.
func randomPrefix(r *rand.Rand) netip.Prefix {
	if r.IntN(3) == 0 {
		b := [16]byte{0: 0x20, 1: 0x01, 3: byte(r.IntN(2)), 7: byte(r.IntN(2)), 15: byte(r.IntN(4))}
		return netip.PrefixFrom(netip.AddrFrom16(b), 16+r.IntN(113)).Masked()
	}
	b := [4]byte{10, byte(r.IntN(2) * 128), byte(r.IntN(4)), byte(r.IntN(256))}
	return netip.PrefixFrom(netip.AddrFrom4(b), 8+r.IntN(25)).Masked()
}

func TestHoldAgreesWithANaiveModel(t *testing.T) {
	for seed := range uint64(20) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { holdAgainstModel(t, rand.New(rand.NewPCG(seed, 1)), 3000) })
	}
}

func holdAgainstModel(t *testing.T, r *rand.Rand, steps int) {
	a := ipam.New(new(ipam.Memory), ipam.Config{Pools: pools, MaxPrefixes: steps})
	model := naive{}
	held, refused := 0, 0
	for range steps {
		p, owner := randomPrefix(r), mesh.NodeID(fmt.Sprint("n", r.IntN(5)))
		if r.IntN(3) == 0 && len(model) > 0 { // release something, mostly something held
			if r.IntN(4) > 0 {
				for p = range model {
					break
				}
			}
			_, err := a.Release(t.Context(), p, "")
			if _, was := model[p]; was != (err == nil) {
				t.Fatalf("Release(%v) = %v; held before: %v", p, err, was)
			}
			delete(model, p)
			continue
		}
		ok, inTheWay := model.want(p, owner)
		err := a.Hold(t.Context(), p, owner)
		var conflict *ipam.ConflictError
		switch {
		case ok && err == nil:
			model[p] = owner
			held++
		case !ok && errors.As(err, &conflict) && inTheWay[conflict.Holding.Prefix] && conflict.Own == (model[conflict.Holding.Prefix] == owner):
			refused++
		default:
			t.Fatalf("Hold(%v, %s) = %v; the model says ok=%v, in the way: %v", p, owner, err, ok, inTheWay)
		}
	}
	if held < steps/20 || refused < steps/20 {
		t.Errorf("%d held and %d refused of %d: the test tries too little", held, refused, steps)
	}
}

// TestAddressesKeepTheirPromises lets nodes come and go and checks what must hold
// whatever the order in which addresses are given.
func TestAddressesKeepTheirPromises(t *testing.T) {
	const rest = 24 * time.Hour
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 2))
		pool := netip.PrefixFrom(netip.MustParseAddr("100.64.0.0"), 26+r.IntN(4))
		size := 1<<(32-pool.Bits()) - 2
		first, last := ipam.Range(pool)
		a := ipam.New(new(ipam.Memory), ipam.Config{Pools: []netip.Prefix{pool}, Rest: rest})
		now := t0
		of := map[mesh.NodeID]netip.Addr{}
		by := map[netip.Addr]mesh.NodeID{}
		released := map[netip.Addr]time.Time{}
		for range 3000 {
			now = now.Add(time.Duration(r.Int64N(int64(2 * time.Hour))))
			owner := mesh.NodeID(fmt.Sprint("n", r.IntN(size*3/2)))
			if r.IntN(2) == 0 {
				if err := a.Free(t.Context(), owner, now); err != nil {
					t.Fatal(err)
				}
				if addr, ok := of[owner]; ok {
					released[addr] = now
					delete(by, addr)
					delete(of, owner)
				}
				continue
			}
			resting := 0
			for _, at := range released {
				if now.Sub(at) < rest {
					resting++
				}
			}
			addrs, err := a.Allocate(t.Context(), owner, now)
			if err != nil {
				if mesh.KindOf(err) != mesh.Exhausted || len(by)+resting < size {
					t.Fatalf("seed %d: Allocate = %v with %d held and %d resting of %d", seed, err, len(by), resting, size)
				}
				continue
			}
			addr := addrs[0]
			had, again := of[owner]
			at, wasReleased := released[addr]
			switch {
			case again && addr != had:
				t.Fatalf("seed %d: %s had %v and gets %v", seed, owner, had, addr)
			case !again && by[addr] != "":
				t.Fatalf("seed %d: %s gets %v, which %s holds", seed, owner, addr, by[addr])
			case !again && wasReleased && now.Sub(at) < rest:
				t.Fatalf("seed %d: %s gets %v after %v of rest", seed, owner, addr, now.Sub(at))
			case !pool.Contains(addr) || addr == first || addr == last:
				t.Fatalf("seed %d: %s gets %v of %v", seed, owner, addr, pool)
			}
			delete(released, addr)
			of[owner], by[addr] = addr, owner
		}
	}
}

func FuzzHold(f *testing.F) {
	f.Add([]byte{10, 0, 0, 0, 24, 10, 0, 0, 128, 25, 10, 0, 0, 0, 8})
	f.Fuzz(func(t *testing.T, ops []byte) {
		a := ipam.New(new(ipam.Memory), ipam.Config{})
		model := naive{}
		for ; len(ops) >= 5 && len(model) < 200; ops = ops[5:] {
			p := netip.PrefixFrom(netip.AddrFrom4([4]byte(ops)), int(ops[4]&31)+1).Masked()
			owner := mesh.NodeID(fmt.Sprint(ops[4] >> 5))
			if ipam.Check(p) != nil {
				continue
			}
			ok, _ := model.want(p, owner)
			if err := a.Hold(t.Context(), p, owner); ok != (err == nil) {
				t.Fatalf("Hold(%v, %s) = %v, but the model says %v", p, owner, err, ok)
			}
			if ok {
				model[p] = owner
			}
		}
	})
}
