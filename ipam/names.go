package ipam

import (
	"context"
	"strconv"
	"strings"

	"nexd/mesh"
)

// MaxName is the longest a node name may be: one DNS label (RFC 1035).
const MaxName = 63

// maxNameTries bounds the search for a free name.
const maxNameTries = 10_000

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
	label := strings.Trim(b.String(), "-")
	switch {
	case label == "":
		return "node"
	case numberLike(label):
		label = "node-" + label
	}
	return cut(label, MaxName)
}

// CheckName says why name is not a DNS label in lower case, as an organization's
// name must be: it appears in commands and, later, in names.
func CheckName(name string) error {
	if name == "" || NodeName(name) != name {
		return mesh.Errorf(mesh.Invalid, "ipam: name %q: use up to %d lower-case letters, digits and single dashes between them", name, MaxName)
	}
	return nil
}

// UniqueName is the first of NodeName(hostname), the same with -2, -3 … appended
// that is neither reserved nor taken.
func UniqueName(ctx context.Context, hostname string, taken func(context.Context, string) (bool, error)) (string, error) {
	base := NodeName(hostname)
	for i := 1; i <= maxNameTries; i++ {
		name := base
		if i > 1 {
			suffix := "-" + strconv.Itoa(i)
			name = cut(base, MaxName-len(suffix)) + suffix
		}
		if reserved[name] {
			continue
		}
		used, err := taken(ctx, name)
		if err != nil {
			return "", err
		}
		if !used {
			return name, nil
		}
	}
	return "", mesh.Errorf(mesh.Exhausted, "ipam: no free node name after %s; choose another with --hostname", base)
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
