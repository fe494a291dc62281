package ipam

import (
	"context"
	"strconv"
	"strings"

	"nexd/mesh"
)

// MaxName is the length limit of a node name, which is one DNS label (RFC 1035).
const MaxName = 63

// maxNumber bounds UniqueName's search.
const maxNumber = 1 << 24

// reserved names mean something else to resolvers and browsers, or to nexd.
var reserved = map[string]bool{"localhost": true, "wpad": true, "isatap": true, "nexd": true}

// NodeName turns the host name that a node reports into a DNS label: the part before
// the first dot, in lower case, with one "-" for every run of other characters. A name
// that resolvers would take for an IPv4 address (12, 0x7f) gets the prefix "node-". A
// name without a usable character becomes "node".
func NodeName(hostname string) string {
	first, _, _ := strings.Cut(hostname, ".")
	var b strings.Builder
	for _, r := range strings.ToLower(first) {
		switch {
		case r >= 'a' && r <= 'z' || r >= '0' && r <= '9':
			b.WriteRune(r)
		case b.Len() > 0 && !strings.HasSuffix(b.String(), "-"):
			b.WriteByte('-')
		}
		if b.Len() > MaxName {
			break
		}
	}
	label := cut(b.String(), MaxName)
	switch {
	case label == "":
		return "node"
	case numberLike(label): // checked after the cut
		return cut("node-"+label, MaxName)
	}
	return label
}

// CheckName checks that an organization's name is a DNS label in lower case, since it
// appears in commands and, later, in DNS names.
func CheckName(name string) error {
	if name == "" || NodeName(name) != name {
		return mesh.Errorf(mesh.Invalid, "ipam: name %q: use up to %d lower-case letters, digits and single dashes between them", name, MaxName)
	}
	return nil
}

// UniqueName is NodeName(hostname) with the suffix -2, -3, … if the name is reserved or
// taken. A thousand containers may share a host name, so UniqueName does not try every
// number. It doubles the number until a name is free, then bisects between the last
// taken number and the free one. After removals the result need not be the lowest free
// number.
func UniqueName(ctx context.Context, hostname string, taken func(context.Context, string) (bool, error)) (string, error) {
	base := NodeName(hostname)
	free := func(n int) (bool, error) {
		name := numbered(base, n)
		if reserved[name] {
			return false, nil
		}
		used, err := taken(ctx, name)
		return !used, err
	}
	last, next := 0, 1 // last is taken (0 = none yet), next is the one to try
	for {
		ok, err := free(next)
		switch {
		case err != nil:
			return "", err
		case ok:
			n, err := firstFree(last, next, free)
			return numbered(base, n), err
		case next > maxNumber:
			return "", mesh.Errorf(mesh.Exhausted, "ipam: no free node name after %s; choose another with --hostname", base)
		}
		last, next = next, 2*next
	}
}

// firstFree bisects between a taken and a free number until they are neighbors.
func firstFree(taken, free int, isFree func(int) (bool, error)) (int, error) {
	for free-taken > 1 {
		middle := taken + (free-taken)/2
		ok, err := isFree(middle)
		switch {
		case err != nil:
			return 0, err
		case ok:
			free = middle
		default:
			taken = middle
		}
	}
	return free, nil
}

// numbered is base for n = 1, else base with the suffix -n.
func numbered(base string, n int) string {
	if n == 1 {
		return base
	}
	suffix := "-" + strconv.Itoa(n)
	return cut(base, MaxName-len(suffix)) + suffix
}

func cut(label string, n int) string {
	if len(label) > n {
		label = label[:n]
	}
	return strings.TrimRight(label, "-")
}

// numberLike reports whether inet_aton would read label as an address.
func numberLike(label string) bool {
	digits := "0123456789"
	if rest, ok := strings.CutPrefix(label, "0x"); ok {
		label, digits = rest, "0123456789abcdef"
	}
	return strings.Trim(label, digits) == ""
}
