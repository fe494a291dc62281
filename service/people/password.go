package people

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"strings"

	"golang.org/x/crypto/argon2"

	"nexd/mesh"
)

// Cost of a password hash: the second recommendation of RFC 9106 section 4.
const (
	argonTime    = 3
	argonMemory  = 64 << 10 // KiB
	argonThreads = 4
	argonSalt    = 16
	argonLength  = 32
)

// MinPassword is the shortest password, in bytes; maxPassword is the longest.
const (
	MinPassword = 8
	maxPassword = 1024
)

// cost is the cost of a password hash.
type cost struct {
	time, memory uint32
	threads      uint8
}

var fullCost = cost{argonTime, argonMemory, argonThreads}

// HashPassword hashes a password with argon2id. The result holds parameters and salt,
// in the usual form $argon2id$….
func HashPassword(password string) (string, error) { return fullCost.hash(password) }

func (c cost) hash(password string) (string, error) {
	switch {
	case len(password) < MinPassword:
		return "", mesh.Errorf(mesh.Invalid, "people: the password has %d characters; it needs at least %d", len(password), MinPassword)
	case len(password) > maxPassword:
		return "", mesh.Errorf(mesh.Invalid, "people: the password is longer than %d bytes", maxPassword)
	}
	salt := make([]byte, argonSalt)
	if _, err := rand.Read(salt); err != nil {
		return "", mesh.Errorf(mesh.Internal, "people: no randomness for a password's salt: %w", err)
	}
	sum := argon2.IDKey([]byte(password), salt, c.time, c.memory, c.threads, argonLength)
	b64 := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, c.memory, c.time, c.threads, b64(salt), b64(sum)), nil
}

// CheckPassword reports whether a hash of HashPassword belongs to a password. Text of
// another form belongs to no password.
func CheckPassword(hash, password string) bool {
	var version, memory, time int
	var threads uint8
	var rest string
	if _, err := fmt.Sscanf(hash, "$argon2id$v=%d$m=%d,t=%d,p=%d$%s", &version, &memory, &time, &threads, &rest); err != nil {
		return false
	}
	salt, sum, ok := splitHash(rest)
	sane := version == argon2.Version && memory > 0 && memory <= 1<<20 && time > 0 && time <= 16 && threads > 0 && len(password) <= maxPassword
	if !ok || !sane {
		return false
	}
	got := argon2.IDKey([]byte(password), salt, uint32(time), uint32(memory), threads, uint32(len(sum)))
	return subtle.ConstantTimeCompare(got, sum) == 1
}

func splitHash(s string) (salt, sum []byte, ok bool) {
	for i := range s {
		if s[i] != '$' {
			continue
		}
		salt, err1 := base64.RawStdEncoding.DecodeString(s[:i])
		sum, err2 := base64.RawStdEncoding.DecodeString(s[i+1:])
		return salt, sum, err1 == nil && err2 == nil && len(salt) >= 8 && len(sum) >= 16
	}
	return nil, nil, false
}

// decoy is a hash of no password; checking it takes as long as checking any other.
func (c cost) decoy() string {
	return fmt.Sprintf("$argon2id$v=19$m=%d,t=%d,p=%d$%s$%s", c.memory, c.time, c.threads, strings.Repeat("A", 22), strings.Repeat("A", 43))
}

// checkPassword takes as long without a hash as with one.
func (p *People) checkPassword(ctx context.Context, hash, password string) (bool, error) {
	none := hash == ""
	if none {
		hash = p.cost.decoy()
	}
	var good bool
	err := p.hashing(ctx, func() error {
		good = CheckPassword(hash, password)
		return nil
	})
	return good && !none, err
}

// hashing bounds how many passwords are hashed at once.
func (p *People) hashing(ctx context.Context, fn func() error) error {
	select {
	case p.hash <- struct{}{}:
		defer func() { <-p.hash }()
		return fn()
	case <-ctx.Done():
		return mesh.Errorf(mesh.Unavailable, "people: too many sign-ins at once: %w", ctx.Err())
	}
}

func (p *People) hashPassword(ctx context.Context, password string) (hash string, err error) {
	err = p.hashing(ctx, func() error {
		hash, err = p.cost.hash(password)
		return err
	})
	return hash, err
}
