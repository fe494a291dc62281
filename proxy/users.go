package proxy

import (
	"bufio"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"io"
	"strings"

	"nexd/mesh"
)

// Limits of an authentication file; RFC 1929 has one byte for a length.
const (
	maxUsers   = 1000
	maxLogin   = 255
	maxAuthLen = 1 << 20
)

// Users are the users of the proxy. It keeps keyed hashes and no passwords.
type Users struct {
	key    []byte
	hashes [][sha256.Size]byte
}

// ReadUsers reads lines of the form USER:PASSWORD. It skips empty lines and lines that begin with
// #. A password may contain colons and spaces.
func ReadUsers(r io.Reader) (*Users, error) {
	u := &Users{key: make([]byte, sha256.Size)}
	rand.Read(u.key)
	seen := map[string]bool{}
	lines := bufio.NewScanner(io.LimitReader(r, maxAuthLen))
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSuffix(lines.Text(), "\r")
		if strings.TrimSpace(line) == "" || strings.HasPrefix(line, "#") {
			continue
		}
		user, password, ok := strings.Cut(line, ":")
		switch {
		case !ok || user == "" || password == "":
			return nil, mesh.Errorf(mesh.Invalid, "proxy: line %d of the authentication file must be USER:PASSWORD", n)
		case len(user) > maxLogin || len(password) > maxLogin:
			return nil, mesh.Errorf(mesh.Invalid, "proxy: line %d of the authentication file has a name or password of more than %d bytes", n, maxLogin)
		case seen[user]:
			return nil, mesh.Errorf(mesh.Invalid, "proxy: line %d of the authentication file repeats the user %q", n, user)
		case len(u.hashes) == maxUsers:
			return nil, mesh.Errorf(mesh.Exhausted, "proxy: the authentication file has more than %d users", maxUsers)
		}
		seen[user] = true
		u.hashes = append(u.hashes, u.hash(user, password))
	}
	if err := lines.Err(); err != nil {
		return nil, mesh.Errorf(mesh.Invalid, "proxy: authentication file: %w", err)
	}
	if len(u.hashes) == 0 {
		return nil, mesh.Errorf(mesh.Invalid, "proxy: the authentication file has no users")
	}
	return u, nil
}

// Check reports whether a user has this password. It takes the same time for every user and result.
func (u *Users) Check(user, password string) bool {
	given, found := u.hash(user, password), 0
	for i := range u.hashes {
		found |= subtle.ConstantTimeCompare(given[:], u.hashes[i][:])
	}
	return found == 1
}

// hash hashes a name and a password. A name with a colon has no hash, since it could otherwise be
// confused with another pair.
func (u *Users) hash(user, password string) (sum [sha256.Size]byte) {
	if strings.ContainsRune(user, ':') {
		return sum // nobody
	}
	mac := hmac.New(sha256.New, u.key)
	io.WriteString(mac, user+":"+password)
	mac.Sum(sum[:0])
	return sum
}

// credentials is Config.Auth in the form that the library takes.
type credentials func(user, password string) bool

// Valid implements the library's CredentialStore.
func (c credentials) Valid(user, password string) bool { return c(user, password) }
