package control

import (
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"encoding/hex"

	"nexd/mesh"
)

// Pin is the SHA-256 of a certificate's SubjectPublicKeyInfo. It identifies a TLS key in any
// certificate. The zero Pin means that there is none.
type Pin [sha256.Size]byte

// PinOf returns the pin of a certificate's key.
func PinOf(cert *x509.Certificate) Pin { return sha256.Sum256(cert.RawSubjectPublicKeyInfo) }

// ParsePin reads 64 hexadecimal digits.
func ParsePin(s string) (Pin, error) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(Pin{}) {
		return Pin{}, mesh.Errorf(mesh.Invalid, "control: pin %q must be 64 hexadecimal digits; it has %d characters", clip(s), len(s))
	}
	p := Pin(b)
	if p.IsZero() {
		return Pin{}, mesh.Errorf(mesh.Invalid, "control: the pin is all zeros")
	}
	return p, nil
}

// IsZero reports whether there is no pin.
func (p Pin) IsZero() bool { return p == Pin{} }

// Equal compares in constant time.
func (p Pin) Equal(other Pin) bool { return subtle.ConstantTimeCompare(p[:], other[:]) == 1 }

// String is the pin in 64 lower-case hex digits, or nothing for no pin.
func (p Pin) String() string {
	if p.IsZero() {
		return ""
	}
	return hex.EncodeToString(p[:])
}

// MarshalText implements encoding.TextMarshaler.
func (p Pin) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler; empty text is no pin.
func (p *Pin) UnmarshalText(text []byte) (err error) {
	if len(text) == 0 {
		*p = Pin{}
		return nil
	}
	*p, err = ParsePin(string(text))
	return err
}

// clip shortens untrusted text for an error.
func clip(s string) string {
	const most = 80
	if len(s) <= most {
		return s
	}
	return s[:most] + "…"
}
