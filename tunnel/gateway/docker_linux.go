package gateway

import (
	"bytes"
	"errors"
	mathbits "math/bits"
	"net/netip"
	"slices"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/userdata"
	"golang.org/x/sys/unix"

	"nexd/mesh"
)

// An accept rule in nexd's table cannot override a drop rule in Docker's tables, because a
// packet must pass both. If these chains of Docker exist, nexd therefore adds rules to
// them.
const (
	userChain = "DOCKER-USER" // in the filter table: for rules of the host's owner
	rawChain  = "PREROUTING"  // in the raw table: Docker 28 drops packets to containers from outside

	ownTable   = "docker-bridges" // of Docker 29's nftables backend, which has neither chain
	ownForward = "filter-FORWARD"
	ownRaw     = "raw-PREROUTING"
)

// accepts is a rule that accepts mesh traffic.
type accepts struct {
	comment string
	match   match
	prefix  netip.Prefix
}

// forDocker returns the rules that a family's tables need.
func (p *plan) forDocker(four bool) (user, raw []accepts) {
	for _, w := range p.prefixes {
		if w.Local.Addr().Is4() != four {
			continue
		}
		local := w.Local.String()
		in := accepts{note(p.iface) + ": to " + local, join(from(p.iface), destination(w.Local, false), match{&expr.Counter{}}, accept()), w.Local}
		out := accepts{note(p.iface) + ": from " + local, join(to(p.iface), source(w.Local, false), match{&expr.Counter{}}, accept()), w.Local}
		if !slices.ContainsFunc(user, func(a accepts) bool { return a.comment == in.comment }) { // one network may have two mesh prefixes
			user = append(user, in, out)
		}
		if !w.mapped() { // mapped addresses are rewritten after the raw table
			raw = append(raw, in)
		}
	}
	return user, raw
}

func note(iface string) string { return "nexd " + iface }

func ours(comment, iface string) bool {
	return comment == note(iface) || strings.HasPrefix(comment, note(iface)+":")
}

// fillDocker adds nexd's rules to Docker's chains and removes older ones. A chain that does
// not exist needs none. It returns the chains that it changed.
func fillDocker(p *plan) (changed []string, err error) {
	nft, err := nftables.New()
	if err != nil {
		return nil, mesh.Errorf(mesh.Unavailable, "gateway: nftables: %w", err)
	}
	var errs []error
	for _, family := range []nftables.TableFamily{nftables.TableFamilyIPv4, nftables.TableFamilyIPv6} {
		user, raw := p.forDocker(family == nftables.TableFamilyIPv4)
		for _, c := range []struct {
			table, chain string
			rules        []accepts
			place        func([]*nftables.Rule, netip.Prefix) (uint64, bool)
		}{
			{"filter", userChain, user, beforeReturn},
			{"raw", rawChain, raw, beforeDrop},
			{ownTable, ownForward, user, beforeOthers},
			{ownTable, ownRaw, raw, beforeDrop},
		} {
			did, err := fill(nft, family, c.table, c.chain, p.iface, c.rules, c.place)
			if did {
				changed = append(changed, familyName(family)+" "+c.table+" "+c.chain)
			}
			errs = append(errs, err)
		}
	}
	return changed, errors.Join(errs...)
}

func familyName(f nftables.TableFamily) string {
	if f == nftables.TableFamilyIPv4 {
		return "ip"
	}
	return "ip6"
}

// fill compares rules by comment. place returns the rule before which a new one belongs
// (0: at the end), and whether it is needed at all.
func fill(nft *nftables.Conn, family nftables.TableFamily, table, name, iface string, wanted []accepts, place func([]*nftables.Rule, netip.Prefix) (uint64, bool)) (bool, error) {
	t := &nftables.Table{Family: family, Name: table}
	c := &nftables.Chain{Name: name, Table: t}
	if there, err := exists(nft, c); err != nil || !there {
		return false, err
	}
	have, err := nft.GetRules(t, c)
	if err != nil {
		return false, mesh.Errorf(mesh.Unavailable, "gateway: read chain %s: %w", name, err)
	}
	changed := false
	there := map[string]bool{}
	for i, r := range have {
		comment := commentOf(r)
		if !ours(comment, iface) {
			continue
		}
		k := slices.IndexFunc(wanted, func(a accepts) bool { return a.comment == comment })
		if k >= 0 && !there[comment] && inPlace(have, i, wanted[k].prefix, place) {
			there[comment] = true
			continue
		}
		changed = true
		if err := nft.DelRule(r); err != nil {
			return false, mesh.Errorf(mesh.Unavailable, "gateway: chain %s: %w", name, err)
		}
	}
	for _, a := range wanted {
		at, needed := place(have, a.prefix)
		if there[a.comment] || !needed {
			continue
		}
		changed = true
		r := &nftables.Rule{Table: t, Chain: c, Position: at, Exprs: a.match, UserData: userdata.AppendString(nil, userdata.TypeComment, a.comment)}
		if at == 0 {
			nft.AddRule(r)
		} else {
			nft.InsertRule(r)
		}
	}
	if !changed {
		return false, nil
	}
	if err := nft.Flush(); err != nil && !errors.Is(err, unix.ENOENT) { // Docker changed the chain first; Run will check again
		return false, mesh.Errorf(mesh.Unavailable, "gateway: change chain %s: %w", name, err)
	}
	return true, nil
}

func exists(nft *nftables.Conn, c *nftables.Chain) (bool, error) {
	all, err := nft.ListChainsOfTableFamily(c.Table.Family)
	if errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EOPNOTSUPP) {
		return false, nil // no IPv6 in this kernel
	} else if err != nil {
		return false, mesh.Errorf(mesh.Unavailable, "gateway: read the chains of %s: %w", familyName(c.Table.Family), err)
	}
	return slices.ContainsFunc(all, func(have *nftables.Chain) bool { return have.Name == c.Name && have.Table.Name == c.Table.Name }), nil
}

// inPlace reports whether the rule at i of a chain is needed and precedes the rule that it
// must precede.
func inPlace(have []*nftables.Rule, i int, p netip.Prefix, place func([]*nftables.Rule, netip.Prefix) (uint64, bool)) bool {
	at, needed := place(have, p)
	return needed && (at == 0 || i < slices.IndexFunc(have, func(r *nftables.Rule) bool { return r.Handle == at }))
}

// beforeReturn is the place after every rule of the host's owner, whose drop rules take
// precedence, and before the return at the end of Docker's chain.
func beforeReturn(have []*nftables.Rule, _ netip.Prefix) (uint64, bool) {
	if n := len(have); n > 0 && unconditional(have[n-1], expr.VerdictReturn) {
		return have[n-1].Handle, true
	}
	return 0, true
}

// beforeOthers is the place before all rules that are not nexd's: Docker's chain ends with
// a verdict, and the host's owner has other tables.
func beforeOthers(have []*nftables.Rule, _ netip.Prefix) (uint64, bool) {
	for _, r := range have {
		if !strings.HasPrefix(commentOf(r), "nexd ") {
			return r.Handle, true
		}
	}
	return 0, true
}

// beforeDrop is the place before the first rule that drops packets to an address of the
// prefix; without such a rule nexd needs none.
func beforeDrop(have []*nftables.Rule, p netip.Prefix) (uint64, bool) {
	for _, r := range have {
		if drops(r, p) {
			return r.Handle, true
		}
	}
	return 0, false
}

func unconditional(r *nftables.Rule, kind expr.VerdictKind) bool {
	for _, e := range r.Exprs {
		switch e := e.(type) {
		case *expr.Counter:
		case *expr.Verdict:
			return e.Kind == kind
		default:
			return false
		}
	}
	return false
}

// drops reports whether a rule drops packets to some addresses of p.
func drops(r *nftables.Rule, p netip.Prefix) bool {
	var verdict, inside, next bool
	var bits int // of the address that are compared
	for _, e := range r.Exprs {
		switch e := e.(type) {
		case *expr.Payload:
			offset := uint32(16)
			if p.Addr().Is6() {
				offset = 24
			}
			next = e.Base == expr.PayloadBaseNetworkHeader && e.Offset == offset
			bits = 8 * int(e.Len)
		case *expr.Bitwise:
			bits = 0
			for _, b := range e.Mask {
				bits += mathbits.OnesCount8(b)
			}
		case *expr.Cmp:
			if next && e.Op == expr.CmpOpEq {
				whole := append(bytes.Clone(e.Data), make([]byte, 16)...)[:len(p.Addr().AsSlice())]
				a, _ := netip.AddrFromSlice(whole)
				inside = inside || netip.PrefixFrom(a, min(bits, a.BitLen())).Masked().Overlaps(p)
			}
			next = false
		case *expr.Verdict:
			verdict = e.Kind == expr.VerdictDrop
		}
	}
	return verdict && inside
}
