// Package column says how values are written in the columns of the database, in
// forms that sort and compare alike in every database:
//
//	time            microseconds since 1970; 0 = never
//	address         lower-case hexadecimal of fixed width: text order is address order
//	prefix          first address, and length in bits
//	ID              random text
//	secret          its SHA-256 in hexadecimal; the secret itself is never stored
//	foreign text    without characters that a terminal would obey, and bounded
//
// Its functions know neither tables nor transactions.
package column

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Family is the column that separates the two address families: 4 or 6.
func Family(a netip.Addr) int {
	if a.Is4() {
		return 4
	}
	return 6
}

// Addr is the sortable text of an address.
func Addr(a netip.Addr) string { return hex.EncodeToString(a.AsSlice()) }

// ParseAddr reads what Addr wrote.
func ParseAddr(s string) (netip.Addr, error) {
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

// ParsePrefix is the prefix of bits at the address that Addr wrote.
func ParsePrefix(lo string, bits int) (netip.Prefix, error) {
	a, err := ParseAddr(lo)
	if err != nil {
		return netip.Prefix{}, err
	}
	p, err := a.Prefix(bits)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("store: stored prefix %q/%d: %w", lo, bits, err)
	}
	return p, nil
}

// IP is the common text of an address; empty for the zero Addr.
func IP(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

// ParseIP reads what IP wrote.
func ParseIP(s string) (netip.Addr, error) {
	if s == "" {
		return netip.Addr{}, nil
	}
	return netip.ParseAddr(s)
}

// Time is the number that stands for t.
func Time(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

// ParseTime reads what Time wrote.
func ParseTime(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}

// MaxDescription bounds what a person writes about a key or a token, in bytes.
const MaxDescription = 200

// maxReported bounds what a node or a person says about itself, in bytes.
const maxReported = 255

// Clip makes text from nodes and people fit to be stored and shown: valid UTF-8, of
// bounded length, and without characters that control a terminal or change the
// reading direction, so that no name looks like another.
func Clip(s string) string {
	return strings.Map(func(r rune) rune {
		if Invisible(r) || r == utf8.RuneError {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s[:min(len(s), maxReported)], ""))
}

// Invisible reports whether a character is not shown but changes how others are.
func Invisible(r rune) bool { return unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp) }
