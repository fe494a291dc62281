package ipam

import (
	"context"
	"strconv"
	"strings"

	"nexd/mesh"
)

// MaxName is the longest a node name may be: one DNS label (RFC 1035).
const MaxName = 63

// maxNumber bounds the search for a free name.
const maxNumber = 1 << 24

// reserved names mean something else to resolvers and browsers, or to nexd.
var reserved = map[string]bool{"localhost": true, "wpad": true, "isatap": true, "nexd": true}

// NodeName makes a DNS label of a host name as a node reports it: the part
// before the first dot, in lower case, every run of other characters one "-". A
// name that resolvers would take for an IPv4 address (12, 0x7f) gets "node-" in
// front, and so does one of which nothing is left.
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
	case numberLike(label): // asked of what is left after the cut
		return cut("node-"+label, MaxName)
	}
	return label
}

// CheckName says why name is not a DNS label in lower case, as an organization's
// name must be: it appears in commands and, later, in names.
func CheckName(name string) error {
	if name == "" || NodeName(name) != name {
		return mesh.Errorf(mesh.Invalid, "ipam: name %q: use up to %d lower-case letters, digits and single dashes between them", name, MaxName)
	}
	return nil
}

// UniqueName is NodeName(hostname), or the same with a number appended, -2 at
// first, such that it is neither reserved nor taken. A thousand containers may
// have one host name, so it does not try one number after the other: it doubles
// the number until one is free and then halves the way back to the last taken.
// Where numbers below were given back, it need not be the lowest free one.
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
	last, next := 0, 1 // last is taken (0 stands for none), next is to be tried
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

// firstFree narrows down from taken to free until they are neighbours.
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

// numbered is the n-th name made of base: the first is base itself.
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

// numberLike says whether inet_aton would read the label as an address.
func numberLike(label string) bool {
	digits := "0123456789"
	if rest, ok := strings.CutPrefix(label, "0x"); ok {
		label, digits = rest, "0123456789abcdef"
	}
	return strings.Trim(label, digits) == ""
}
