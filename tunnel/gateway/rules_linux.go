package gateway

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/userdata"
	"golang.org/x/sys/unix"

	"nexd/mesh"
)

// tableName is the name of nexd's table.
func tableName(iface string) string { return "nexd-" + iface }

// ruleset is the wanted content of nexd's table.
type ruleset []chain

type chain struct {
	name     string
	kind     nftables.ChainType
	hook     *nftables.ChainHook
	priority nftables.ChainPriority
	rules    []rule
}

type rule struct {
	comment string
	match   match
}

// The priorities of the chains. nexd's chains come just before those of Docker and iptables
// at the same hook, because the first chain that decides about NAT takes precedence.
const (
	beforeDNAT = nftables.ChainPriority(-150)
	ourDNAT    = nftables.ChainPriority(-101)
	ourFilter  = nftables.ChainPriority(-1)
	ourSNAT    = nftables.ChainPriority(99)
)

// rules returns the rules that the plan needs in nexd's table.
func (p *plan) rules() ruleset {
	arrive := chain{name: "arrive", kind: nftables.ChainTypeFilter, hook: nftables.ChainHookPrerouting, priority: beforeDNAT}
	mapIn := chain{name: "map_in", kind: nftables.ChainTypeNAT, hook: nftables.ChainHookPrerouting, priority: ourDNAT}
	forward := chain{name: "forward", kind: nftables.ChainTypeFilter, hook: nftables.ChainHookForward, priority: ourFilter}
	mapOut := chain{name: "map_out", kind: nftables.ChainTypeNAT, hook: nftables.ChainHookPostrouting, priority: ourSNAT}

	arrive.add("this node's addresses", from(p.iface), ownOnArrival(), accept())
	arrive.add("multicast", from(p.iface), multicast(), accept())
	forward.add("segment size", to(p.iface), clamp())
	forward.add("segment size", from(p.iface), clamp())
	forward.add("answers", from(p.iface), known(), accept())
	forward.add("redirected after arrival", from(p.iface), redirected(), accept())
	for _, w := range p.prefixes {
		text := w.Prefix.String()
		if w.mapped() {
			text += "=" + w.Local.String()
			mapIn.add(text, from(p.iface), destination(w.Prefix, true), rewrite(expr.NATTypeDestNAT, w.Local))
		}
		arrive.add(text, from(p.iface), destination(w.Prefix, true), accept())
		mapOut.add(text+" calls out", to(p.iface), source(w.Local, true), rewrite(expr.NATTypeSourceNAT, w.Prefix))
		for _, e := range w.links {
			forward.add(text, from(p.iface), to(e.name), destination(w.Local, true), accept())
			if e.masked {
				mapOut.add(text+" is called", from(p.iface), to(e.name), destination(w.Local, true), masquerade())
			}
		}
	}
	arrive.add("nothing else", from(p.iface), drop())
	forward.add("nothing else", from(p.iface), drop())
	return ruleset{arrive, mapIn, forward, mapOut}
}

func (c *chain) add(comment string, parts ...match) {
	c.rules = append(c.rules, rule{comment, join(parts...)})
}

// print returns a fingerprint of the ruleset.
func (rs ruleset) print() string {
	h := sha256.New()
	for _, c := range rs {
		fmt.Fprintf(h, "%s %s %d %d\n", c.name, c.kind, *c.hook, c.priority)
		for _, r := range c.rules {
			fmt.Fprintf(h, " %q", r.comment)
			for _, e := range r.match {
				fmt.Fprintf(h, " %T%+v", e, e)
			}
		}
	}
	return fmt.Sprintf("%x", h.Sum(nil)[:6])
}

// load replaces the table in the kernel with the ruleset, in one transaction. It does
// nothing if the kernel has it already.
func (rs ruleset) load(iface string) error {
	mark := "nexd " + iface + " " + rs.print()
	nft, err := nftables.New()
	if err != nil {
		return mesh.Errorf(mesh.Unavailable, "gateway: nftables: %w", err)
	}
	table := &nftables.Table{Family: nftables.TableFamilyINet, Name: tableName(iface)}
	if rs.loaded(nft, table, mark) {
		return nil
	}
	nft.AddTable(table) // so the deletion cannot fail
	nft.DelTable(table)
	nft.AddTable(table)
	for i, c := range rs {
		in := nft.AddChain(&nftables.Chain{Name: c.name, Table: table, Type: c.kind, Hooknum: c.hook, Priority: &c.priority})
		for k, r := range c.rules {
			comment := r.comment
			if i == 0 && k == 0 {
				comment = mark
			}
			nft.AddRule(&nftables.Rule{Table: table, Chain: in, Exprs: r.match, UserData: userdata.AppendString(nil, userdata.TypeComment, comment)})
		}
	}
	if err := nft.Flush(); err != nil {
		return refused("set the rules", err)
	}
	return nil
}

// loaded reports whether the kernel has this ruleset: its first rule has the fingerprint,
// and no chain has lost a rule.
func (rs ruleset) loaded(nft *nftables.Conn, table *nftables.Table, mark string) bool {
	for i, c := range rs {
		have, err := nft.GetRules(table, &nftables.Chain{Name: c.name, Table: table})
		if err != nil || len(have) != len(c.rules) {
			return false
		}
		if i == 0 && commentOf(have[0]) != mark {
			return false
		}
	}
	return true
}

func commentOf(r *nftables.Rule) string {
	s, _ := userdata.GetString(r.UserData, userdata.TypeComment)
	return s
}

// unload removes nexd's table and reports whether there was one.
func unload(iface string) (bool, error) {
	nft, err := nftables.New()
	if err != nil {
		return false, mesh.Errorf(mesh.Unavailable, "gateway: nftables: %w", err)
	}
	nft.DelTable(&nftables.Table{Family: nftables.TableFamilyINet, Name: tableName(iface)})
	err = nft.Flush()
	if errors.Is(err, unix.ENOENT) {
		return false, nil
	} else if err != nil {
		return false, refused("remove the rules", err)
	}
	return true, nil
}

// refused explains an error of the kernel.
func refused(what string, err error) error {
	switch {
	case errors.Is(err, unix.EPERM):
		return mesh.Errorf(mesh.Denied, "gateway: %s: CAP_NET_ADMIN is missing: %w", what, err)
	case errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.ENOENT), strings.Contains(err.Error(), "not supported"):
		return mesh.Errorf(mesh.Unavailable, "gateway: %s: this kernel lacks a part of nftables (Linux 5.8 or newer with nf_tables, nft_nat, nft_masq, nft_fib_inet and nft_ct is needed): %w", what, err)
	}
	return mesh.Errorf(mesh.Unavailable, "gateway: %s: %w", what, err)
}
