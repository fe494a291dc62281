//go:build !linux

package caps

// The capabilities that nexd uses.
const (
	NetAdmin = iota
	NetBindService
	NetRaw
	DACOverride
)

// Keep does nothing on this system.
func Keep(bool, ...int) error { return nil }
