package control

import (
	"strings"

	"nexd/mesh"
)

// regKeyPrefix starts every registration key; package service/store makes them.
const regKeyPrefix = "nxk_"

// The secret part of a key consists of letters and digits. Shorter ones would have too little
// entropy.
const minRegKey, maxRegKey = 20, 200

// RegKey is a registration key: a secret with which nodes join an organization, and the pin
// of the service that created it. Its text form is SECRET[_PIN]. It is shown once and never
// logged; String hides it.
type RegKey struct {
	secret string // nxk_…
	Pin    Pin    // zero when the service has a certificate of a public authority
}

// ParseRegKey reads the text form, with or without a pin, and ignores surrounding white space.
// Its error never contains the text.
func ParseRegKey(s string) (RegKey, error) {
	rest, ok := strings.CutPrefix(strings.TrimSpace(s), regKeyPrefix)
	if !ok {
		return RegKey{}, mesh.Errorf(mesh.Invalid, "control: the registration key must begin with %s", regKeyPrefix)
	}
	secret, pin, pinned := strings.Cut(rest, "_")
	if len(secret) < minRegKey || len(secret) > maxRegKey || !alphanumeric(secret) {
		return RegKey{}, mesh.Errorf(mesh.Invalid, "control: the registration key is incomplete or mistyped (%d characters after %s)", len(secret), regKeyPrefix)
	}
	k := RegKey{secret: regKeyPrefix + secret}
	if pinned {
		var err error
		if k.Pin, err = ParsePin(pin); err != nil {
			return RegKey{}, mesh.Errorf(mesh.Invalid, "control: the registration key is incomplete or mistyped: its last part, the pin, must be 64 hexadecimal digits; it has %d characters", len(pin))
		}
	}
	return k, nil
}

func alphanumeric(s string) bool {
	for _, r := range s {
		if !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9') {
			return false
		}
	}
	return true
}

// IsZero reports whether there is no key.
func (k RegKey) IsZero() bool { return k.secret == "" }

// WithPin returns the key with a pin.
func (k RegKey) WithPin(pin Pin) RegKey {
	k.Pin = pin
	return k
}

// Secret is the text form without the pin, which the agent sends.
func (k RegKey) Secret() string { return k.secret }

// Text is the complete text form, to be shown once.
func (k RegKey) Text() string {
	if k.Pin.IsZero() || k.IsZero() {
		return k.secret
	}
	return k.secret + "_" + k.Pin.String()
}

// String hides the key from logs.
func (k RegKey) String() string { return "(registration key)" }

// GoString hides the key from %#v.
func (k RegKey) GoString() string { return k.String() }
