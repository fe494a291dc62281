package txn

import (
	"context"
	"errors"
	"fmt"

	"nexd/mesh"
	"nexd/service/store/engine"
)

// ErrDatabase is in the chain of every error that comes from the database itself,
// because it is locked, full, read-only, damaged or too slow, rather than from what
// the caller asked for.
var ErrDatabase = errors.New("store: the database cannot be used")

// databaseError is an error with ErrDatabase in its chain.
type databaseError struct{ error }

func (e databaseError) Is(target error) bool { return target == ErrDatabase }
func (e databaseError) Unwrap() error        { return e.error }

// Failure adds to an error of the database what the store was doing, and gives the
// error its kind. An error with a kind stays as it is: it comes from the rules, not
// from the database.
func Failure(what string, err error) error {
	if err == nil || mesh.KindOf(err) != mesh.Internal {
		return err
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return databaseError{mesh.Errorf(mesh.Unavailable, "store: %s: %w", what, err)}
	}
	var fault *engine.Fault
	if errors.As(err, &fault) {
		return databaseError{mesh.Errorf(fault.Kind, "store: %s: %w", what, fault)}
	}
	return fmt.Errorf("store: %s: %w", what, err)
}
