package gateway

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"

	"github.com/coreos/go-iptables/iptables"

	"nexd/mesh"
)

// legacy is the kernel's older packet filter, whose tables only the program
// iptables-legacy can change. They exist if Docker was configured to use that program, or
// if the distribution has nothing else.
var legacy = []struct {
	family   string
	names    string // of the loaded tables
	program  string
	protocol iptables.Protocol
	four     bool
}{
	{"ip", "/proc/thread-self/net/ip_tables_names", "iptables-legacy", iptables.ProtocolIPv4, true},
	{"ip6", "/proc/thread-self/net/ip6_tables_names", "ip6tables-legacy", iptables.ProtocolIPv6, false},
}

// fillLegacy is fillDocker for the older packet filter.
func fillLegacy(p *plan) (changed []string, err error) {
	var errs []error
	for _, l := range legacy {
		tables, err := os.ReadFile(l.names)
		if err != nil {
			continue // this kernel has none
		}
		user, raw := p.forDocker(l.four)
		var ipt *iptables.IPTables
		for _, c := range []struct {
			table, chain string
			rules        []accepts
		}{{"filter", userChain, user}, {"raw", rawChain, raw}} {
			if !slices.Contains(strings.Fields(string(tables)), c.table) {
				continue
			}
			if ipt == nil {
				if ipt, err = iptables.New(iptables.IPFamily(l.protocol), iptables.Path(program(l.program)), iptables.Timeout(5)); err != nil {
					errs = append(errs, mesh.Errorf(mesh.Unavailable, "gateway: rules of iptables-legacy are in use, but the program is missing: %w", err))
					break
				}
			}
			did, err := fillByProgram(ipt, c.table, c.chain, p.iface, c.rules)
			if did {
				changed = append(changed, l.family+" "+c.table+" "+c.chain+" (legacy)")
			}
			errs = append(errs, err)
		}
	}
	return changed, errors.Join(errs...)
}

// program returns the program's name, which is the short one if there is only one backend.
func program(name string) string {
	if _, err := exec.LookPath(name); err != nil {
		return strings.TrimSuffix(name, "-legacy")
	}
	return name
}

// fillByProgram is fill, with the program.
func fillByProgram(ipt *iptables.IPTables, table, chain, iface string, wanted []accepts) (changed bool, err error) {
	if there, err := ipt.ChainExists(table, chain); err != nil || !there {
		if err != nil {
			err = mesh.Errorf(mesh.Unavailable, "gateway: read chain %s (legacy): %w", chain, err)
		}
		return false, err
	}
	list, err := ipt.List(table, chain)
	if err != nil {
		return false, mesh.Errorf(mesh.Unavailable, "gateway: read chain %s (legacy): %w", chain, err)
	}
	list = slices.DeleteFunc(list, func(s string) bool { return !strings.HasPrefix(s, "-A ") })
	firstDrop := slices.IndexFunc(list, func(s string) bool { return strings.HasSuffix(s, " -j DROP") })
	raw := chain == rawChain
	if raw && firstDrop < 0 {
		wanted = nil // there is no rule to precede
	}
	there := map[string]bool{}
	for i := len(list) - 1; i >= 0; i-- { // from the end, so the numbers stay valid
		comment := quotedComment(list[i])
		if !ours(comment, iface) {
			continue
		}
		if slices.ContainsFunc(wanted, func(a accepts) bool { return a.comment == comment }) && !there[comment] && (!raw || i < firstDrop) {
			there[comment] = true
			continue
		}
		if err := ipt.DeleteById(table, chain, i+1); err != nil {
			return changed, mesh.Errorf(mesh.Unavailable, "gateway: chain %s (legacy): %w", chain, err)
		}
		list = slices.Delete(list, i, i+1)
		changed = true
	}
	at := len(list) + 1
	if raw {
		at = 1
	} else if n := len(list); n > 0 && list[n-1] == "-A "+chain+" -j RETURN" {
		at = n
	}
	for _, a := range wanted {
		if there[a.comment] {
			continue
		}
		if err := ipt.Insert(table, chain, at, a.words(iface)...); err != nil {
			return changed, mesh.Errorf(mesh.Unavailable, "gateway: chain %s (legacy): %w", chain, err)
		}
		at++
		changed = true
	}
	return changed, nil
}

// words returns the rule as arguments of the program.
func (a accepts) words(iface string) []string {
	w := []string{"-i", iface, "-d", a.prefix.String()}
	if strings.Contains(a.comment, ": from ") {
		w = []string{"-o", iface, "-s", a.prefix.String()}
	}
	return append(w, "-m", "comment", "--comment", a.comment, "-j", "ACCEPT")
}

// quotedComment returns the comment of a rule in the form that the program lists.
func quotedComment(line string) string {
	_, rest, ok := strings.Cut(line, "--comment ")
	if !ok {
		return ""
	}
	var comment string
	if _, err := fmt.Sscanf(rest, "%q", &comment); err == nil {
		return comment
	}
	comment, _, _ = strings.Cut(rest, " ")
	return comment
}
