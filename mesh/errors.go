package mesh

import (
	"errors"
	"fmt"
)

// Kind says what the caller can do about an error. The service sends a kind by its
// name, and the text of the error with it, except for Internal.
type Kind uint8

// The kinds.
const (
	Internal    Kind = iota // a fault of nexd; its text is logged and never sent
	Invalid                 // the request can never succeed as written
	NotFound                // the thing does not exist, or the caller may not see it
	Conflict                // the thing is taken, or somebody else changed it first
	Exhausted               // a limit is reached; a later or smaller request may succeed
	Denied                  // the caller may not do this
	Unavailable             // something needed is out of reach; the same request may succeed later
)

var kindNames = [...]string{"internal", "invalid", "not_found", "conflict", "exhausted", "denied", "unavailable"}

// String is the kind's name on the wire.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return kindNames[Internal]
}

// ParseKind reads a kind's wire name. An unknown name is Internal.
func ParseKind(name string) Kind {
	for k, n := range kindNames {
		if n == name {
			return Kind(k)
		}
	}
	return Internal
}

type kindError struct {
	kind Kind
	err  error
}

func (e *kindError) Error() string { return e.err.Error() }
func (e *kindError) Unwrap() error { return e.err }

// Errorf makes an error of a kind. %w wraps an error as in fmt.Errorf; the new kind
// hides the kind of the wrapped error.
func Errorf(kind Kind, format string, args ...any) error {
	return &kindError{kind: kind, err: fmt.Errorf(format, args...)}
}

// KindOf is the kind of the outermost error in err's chain that has one. Errors
// without a kind, and nil, are Internal.
func KindOf(err error) Kind {
	var e *kindError
	if errors.As(err, &e) {
		return e.kind
	}
	return Internal
}
