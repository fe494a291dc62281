package mesh

import (
	"crypto/ecdh"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
)

// KeySize is the length in bytes of a WireGuard (X25519) key.
const KeySize = 32

// Key is a node's WireGuard public key (X25519, RFC 7748). The data path knows a node by
// its key. The text form is padded standard base64, as `wg` prints it.
type Key [KeySize]byte

// ParseKey reads the base64 form of a public key. It accepts only the canonical form,
// so a key has exactly one text.
func ParseKey(s string) (Key, error) {
	b, err := parse32(s)
	if err != nil {
		return Key{}, Errorf(Invalid, "mesh: public key %q: %w", s, err)
	}
	return Key(b), nil
}

// IsZero reports whether k is all zeros, which is not a key.
func (k Key) IsZero() bool { return k == Key{} }

// String is the base64 form.
func (k Key) String() string { return base64.StdEncoding.EncodeToString(k[:]) }

// Hex is the form that WireGuard's configuration protocol expects.
func (k Key) Hex() string { return hex.EncodeToString(k[:]) }

// Short is the beginning of the text form, for log lines.
func (k Key) Short() string { return k.String()[:8] }

// Less orders keys by their bytes.
func (k Key) Less(other Key) bool {
	for i := range k {
		if k[i] != other[i] {
			return k[i] < other[i]
		}
	}
	return false
}

// MarshalText implements encoding.TextMarshaler with the base64 form.
func (k Key) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler with the base64 form.
func (k *Key) UnmarshalText(text []byte) (err error) {
	*k, err = ParseKey(string(text))
	return err
}

// PrivateKey is a node's WireGuard private key. It never leaves the node and never
// appears in a log, since String returns a placeholder. Text is the form to store.
type PrivateKey struct{ k [KeySize]byte }

// NewPrivateKey makes a random private key, clamped as in RFC 7748 section 5.
func NewPrivateKey() (PrivateKey, error) {
	var p PrivateKey
	if _, err := rand.Read(p.k[:]); err != nil {
		return PrivateKey{}, Errorf(Internal, "mesh: no randomness for a private key: %w", err)
	}
	p.clamp()
	return p, nil
}

// ParsePrivateKey reads the base64 form that Text writes. Its error does not contain
// the text.
func ParsePrivateKey(s string) (PrivateKey, error) {
	b, err := parse32(s)
	if err != nil {
		return PrivateKey{}, Errorf(Invalid, "mesh: private key: %w", err)
	}
	p := PrivateKey{k: b}
	if p.IsZero() {
		return PrivateKey{}, Errorf(Invalid, "mesh: private key is all zeros")
	}
	p.clamp()
	return p, nil
}

func (p *PrivateKey) clamp() {
	p.k[0] &= 248
	p.k[31] = p.k[31]&127 | 64
}

// IsZero reports whether p is the zero value.
func (p PrivateKey) IsZero() bool { return p.k == [KeySize]byte{} }

// Public is the public key of p.
func (p PrivateKey) Public() Key {
	priv, err := ecdh.X25519().NewPrivateKey(p.k[:])
	if err != nil {
		panic("mesh: 32 bytes are always an X25519 private key: " + err.Error())
	}
	return Key(priv.PublicKey().Bytes())
}

// SharedSecret is X25519(p, peer). A peer key of low order is an error, since anybody
// could compute the secret (RFC 7748 section 6.1).
func (p PrivateKey) SharedSecret(peer Key) ([KeySize]byte, error) {
	priv, err := ecdh.X25519().NewPrivateKey(p.k[:])
	if err != nil {
		return [KeySize]byte{}, Errorf(Internal, "mesh: private key: %w", err)
	}
	pub, err := ecdh.X25519().NewPublicKey(peer[:])
	if err != nil {
		return [KeySize]byte{}, Errorf(Invalid, "mesh: public key %v: %w", peer, err)
	}
	secret, err := priv.ECDH(pub)
	if err != nil {
		return [KeySize]byte{}, Errorf(Invalid, "mesh: public key %v is a low-order point", peer)
	}
	return [KeySize]byte(secret), nil
}

// Equal compares two keys in constant time.
func (p PrivateKey) Equal(other PrivateKey) bool {
	return subtle.ConstantTimeCompare(p.k[:], other.k[:]) == 1
}

// Text is the base64 form. Only the state file may contain it.
func (p PrivateKey) Text() string { return base64.StdEncoding.EncodeToString(p.k[:]) }

// Hex is the form that WireGuard's configuration protocol expects.
func (p PrivateKey) Hex() string { return hex.EncodeToString(p.k[:]) }

// String is a placeholder, so that no log line shows the key.
func (p PrivateKey) String() string { return "(private key)" }

// GoString hides the key from %#v.
func (p PrivateKey) GoString() string { return p.String() }

func parse32(s string) ([KeySize]byte, error) {
	b, err := base64.StdEncoding.Strict().DecodeString(s)
	if err != nil {
		return [KeySize]byte{}, Errorf(Invalid, "not base64")
	}
	if len(b) != KeySize || base64.StdEncoding.EncodeToString(b) != s {
		return [KeySize]byte{}, Errorf(Invalid, "%d bytes instead of %d", len(b), KeySize)
	}
	return [KeySize]byte(b), nil
}
