package store

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// family is the column that keeps the two address families apart.
func family(a netip.Addr) int {
	if a.Is4() {
		return 4
	}
	return 6
}

func addrText(a netip.Addr) string { return hex.EncodeToString(a.AsSlice()) }

func parseAddrText(s string) (netip.Addr, error) {
	b, err := hex.DecodeString(s)
	if err != nil {
		return netip.Addr{}, fmt.Errorf("store: stored address %q: %w", s, err)
	}
	a, ok := netip.AddrFromSlice(b)
	if !ok {
		return netip.Addr{}, fmt.Errorf("store: stored address %q has %d bytes", s, len(b))
	}
	return a, nil
}

func parsePrefixText(lo string, bits int) (netip.Prefix, error) {
	a, err := parseAddrText(lo)
	if err != nil {
		return netip.Prefix{}, err
	}
	p, err := a.Prefix(bits)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("store: stored prefix %q/%d: %w", lo, bits, err)
	}
	return p, nil
}

func fromTime(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

func toTime(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}

// newID is a random name of 130 bits.
func newID() string { return strings.ToLower(rand.Text()) }

// newSecret is a random text of 160 bits behind prefix.
func newSecret(prefix string) string {
	return prefix + strings.ToLower(rand.Text() + rand.Text())[:32]
}

// hashSecret is what is stored of a secret. The secrets are random, so a plain
// hash is as hard to turn back as they are to guess.
func hashSecret(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

func sameHash(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }
