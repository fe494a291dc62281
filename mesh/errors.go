package mesh

import (
	"errors"
	"fmt"
)

// Kind says what the caller can do about an error. Kinds cross the wire by the
// name String gives; the text of an Internal error never does.
type Kind uint8

const (
	Internal    Kind = iota // our fault; the detail is logged, never sent out
	Invalid                 // can never succeed as written
	NotFound                // no such thing, or not yours to see
	Conflict                // somebody was first, or the thing changed meanwhile
	Exhausted               // a limit is reached; later, or with less, it may work
	Denied                  // known, but not allowed
	Unavailable             // a needed part is away; the same call may work later
)

var kindNames = [...]string{"internal", "invalid", "not_found", "conflict", "exhausted", "denied", "unavailable"}

// String is the kind's name on the wire.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return kindNames[Internal]
}

// ParseKind reads a kind's wire name; what it does not know is Internal.
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

// Errorf makes an error of a kind. %w wraps as in fmt.Errorf; the new kind hides
// that of the wrapped error.
func Errorf(kind Kind, format string, args ...any) error {
	return &kindError{kind: kind, err: fmt.Errorf(format, args...)}
}

// KindOf is the kind of the outermost error that has one; Internal for errors
// of others and for nil.
func KindOf(err error) Kind {
	var e *kindError
	if errors.As(err, &e) {
		return e.kind
	}
	return Internal
}
