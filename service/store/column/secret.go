package column

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"strings"
)

// NewID is a random ID of 130 bits.
func NewID() string { return strings.ToLower(rand.Text()) }

// NewSecret is a random text of 160 bits behind prefix, which says what the secret
// is for.
func NewSecret(prefix string) string {
	return prefix + strings.ToLower(rand.Text() + rand.Text())[:32]
}

// Hash is what is stored of a secret. Secrets are random, so a plain hash is as
// hard to invert as the secret is to guess.
func Hash(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

// SameHash compares two hashes in constant time.
func SameHash(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }
