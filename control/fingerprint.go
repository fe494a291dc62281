package control

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"nexd/mesh"
)

// Fingerprint returns a node key in a form that people can compare: the first 80 bits of its
// SHA-256 in hexadecimal, in groups of four. The waiting node and the approval page both
// show it.
func Fingerprint(k mesh.Key) string {
	sum := sha256.Sum256(k[:])
	digits := hex.EncodeToString(sum[:10])
	var groups []string
	for i := 0; i < len(digits); i += 4 {
		groups = append(groups, digits[i:i+4])
	}
	return strings.Join(groups, " ")
}
