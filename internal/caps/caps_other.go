//go:build !linux

package caps

// The capabilities that nexd has a use for.
const (
	NetAdmin = iota
	NetBindService
	NetRaw
	DACOverride
)

// Keep does nothing here.
func Keep(bool, ...int) error { return nil }
