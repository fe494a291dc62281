package tundev

import (
	"errors"
	"fmt"
	"net"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"nexd/mesh"
)

// rule sends all packets to the table, except for those of nexd's own sockets.
func rule(family, table int) *netlink.Rule {
	mask := uint32(MarkMask)
	r := netlink.NewRule()
	r.Family, r.Priority, r.Table = family, table, table
	r.Mark, r.Mask, r.Invert = Mark, &mask, true
	r.Protocol = RouteProtocol
	return r
}

// isOurs reports whether a rule has the form of rule.
func isOurs(r *netlink.Rule) bool {
	return r.Table >= firstTable && r.Table <= lastTable && r.Priority == r.Table &&
		r.Invert && r.Mark == Mark && r.Mask != nil && *r.Mask == MarkMask
}

// rules returns all rules of a family that have the form of rule.
func rules(nl *netlink.Handle, family int) (out []netlink.Rule, err error) {
	all, err := nl.RuleList(family)
	if err != nil {
		if errors.Is(err, unix.EAFNOSUPPORT) {
			return nil, nil // no IPv6 in this kernel
		}
		return nil, mesh.Errorf(mesh.Unavailable, "tundev: read the host's rules: %w", err)
	}
	for i := range all {
		if isOurs(&all[i]) {
			out = append(out, all[i])
		}
	}
	return out, nil
}

// addRules adds missing rules.
func (d *Device) addRules(noSix bool) error {
	table := d.Table()
	for _, family := range families {
		if family == netlink.FAMILY_V6 && noSix {
			continue
		}
		have, err := rules(d.nl, family)
		if err != nil {
			return err
		}
		there := false
		for _, r := range have {
			there = there || r.Table == table
		}
		if there {
			continue
		}
		if err := d.nl.RuleAdd(rule(family, table)); err != nil && !errors.Is(err, unix.EEXIST) {
			return fmt.Errorf("tundev: rule for table %d: %w", table, err)
		}
	}
	return nil
}

func (d *Device) removeRules() error {
	var errs []error
	table := d.Table()
	for _, family := range families {
		have, err := rules(d.nl, family)
		errs = append(errs, err)
		for _, r := range have {
			if r.Table == table {
				errs = append(errs, removeRule(d.nl, family, r.Table))
			}
		}
	}
	return errors.Join(errs...)
}

func removeRule(nl *netlink.Handle, family, table int) error {
	if err := nl.RuleDel(rule(family, table)); err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("tundev: remove the rule for table %d: %w", table, err)
	}
	return nil
}

// freeTable returns the first table without a route and without a rule.
func freeTable(nl *netlink.Handle) (int, error) {
	taken := map[int]bool{}
	for _, family := range families {
		have, err := rules(nl, family)
		if err != nil {
			return 0, err
		}
		for _, r := range have {
			taken[r.Table] = true
		}
		used, err := usedTables(nl, family)
		if err != nil {
			return 0, err
		}
		for t := range used {
			taken[t] = true
		}
	}
	for t := firstTable; t <= lastTable; t++ {
		if !taken[t] {
			return t, nil
		}
	}
	return 0, mesh.Errorf(mesh.Exhausted, "tundev: all routing tables from %d to %d are in use", firstTable, lastTable)
}

// usedTables returns the tables of nexd's range that have a route.
func usedTables(nl *netlink.Handle, family int) (map[int]bool, error) {
	all, err := nl.RouteListFiltered(family, &netlink.Route{Table: unix.RT_TABLE_UNSPEC}, netlink.RT_FILTER_TABLE)
	if err != nil && !errors.Is(err, unix.EAFNOSUPPORT) {
		return nil, mesh.Errorf(mesh.Unavailable, "tundev: read the host's routes: %w", err)
	}
	used := map[int]bool{}
	for _, r := range all {
		if r.Table >= firstTable && r.Table <= lastTable {
			used[r.Table] = true
		}
	}
	return used, nil
}

// cleanRules removes rules whose table is empty in both families. A running Device adds a
// route before it adds the rule.
func cleanRules(nl *netlink.Handle) (removed []string, err error) {
	used := map[int]bool{}
	for _, family := range families {
		u, err := usedTables(nl, family)
		if err != nil {
			return nil, err
		}
		for t := range u {
			used[t] = true
		}
	}
	for _, family := range families {
		have, err := rules(nl, family)
		if err != nil {
			return removed, err
		}
		for _, r := range have {
			if used[r.Table] {
				continue
			}
			if err := removeRule(nl, family, r.Table); err != nil {
				return removed, err
			}
			removed = append(removed, fmt.Sprintf("%s rule %d", familyName(family), r.Priority))
		}
	}
	return removed, nil
}

func familyName(family int) string {
	if family == netlink.FAMILY_V4 {
		return "IPv4"
	}
	return "IPv6"
}

// Clean removes the rules that a killed nexd has left, and returns them. Those of a running
// nexd stay.
func Clean() ([]string, error) {
	nl, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, mesh.Errorf(mesh.Unavailable, "tundev: netlink: %w", err)
	}
	defer nl.Close()
	return cleanRules(nl)
}

// Exists reports whether an interface of that name exists.
func Exists(name string) bool {
	_, err := net.InterfaceByName(name)
	return err == nil
}
