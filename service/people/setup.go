package people

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"net/netip"
	"time"

	"nexd/mesh"
	"nexd/service/store"
)

// FirstRun says whether the database has no person yet, so that only Setup can
// open it.
func (p *People) FirstRun(ctx context.Context) (bool, error) {
	has, err := p.store.HasUsers(ctx)
	return !has && err == nil, err
}

// NewSetupLink makes the one link by which Setup can be reached and forgets those
// before; "" if the database has people. It is for the console of the service.
func (p *People) NewSetupLink(ctx context.Context) (link string, err error) {
	secret, err := p.store.NewSetup(ctx)
	switch {
	case mesh.KindOf(err) == mesh.Conflict:
		return "", nil
	case err != nil:
		return "", err
	}
	return p.Link("/setup?token=" + secret), nil
}

// CheckSetup says whether a token of the set-up link (/setup?token=…) is good, so
// that the form need not be shown in vain.
func (p *People) CheckSetup(ctx context.Context, token string) error {
	if token == "" || len(token) > mostSecret {
		token = "none"
	}
	return p.store.CheckSetup(ctx, token)
}

// Setup makes the first person, owner of the organization "default", and opens a
// session. The token is used up with it.
func (p *People) Setup(ctx context.Context, token, email, name, password string, from netip.Addr) (Session, error) {
	if err := allow(p.signIns, from, addrEvery, "set up"); err != nil {
		return Session{}, err
	}
	if err := p.CheckSetup(ctx, token); err != nil { // before the costly hash
		return Session{}, err
	}
	return p.first(ctx, store.NewPerson{Setup: token, Email: email, Name: name, Own: store.OwnName(true, email)}, password, from)
}

// sealLife is how long sealed text can be read.
const sealLife = 10 * time.Minute

// Seal makes text that only a service on this database can read, for this purpose
// and for ten minutes: for the state of a sign-in that is under way at the
// identity provider, which has to come back to any replica.
func (p *People) Seal(ctx context.Context, purpose string, plain []byte) (string, error) {
	aead, err := p.sealer(ctx, purpose)
	if err != nil {
		return "", err
	}
	nonce := make([]byte, aead.NonceSize())
	if _, err := rand.Read(nonce); err != nil {
		return "", err
	}
	text := binary.BigEndian.AppendUint64(nil, uint64(p.now().Add(sealLife).Unix()))
	sealed := aead.Seal(nonce, nonce, append(text, plain...), []byte(purpose))
	return base64.RawURLEncoding.EncodeToString(sealed), nil
}

// Unseal reads what Seal made at most ten minutes ago.
func (p *People) Unseal(ctx context.Context, purpose, sealed string) ([]byte, error) {
	aead, err := p.sealer(ctx, purpose)
	if err != nil {
		return nil, err
	}
	bad := mesh.Errorf(mesh.Denied, "people: the sealed text is damaged, too old or for something else")
	b, err := base64.RawURLEncoding.DecodeString(sealed)
	if err != nil || len(b) < aead.NonceSize() {
		return nil, bad
	}
	plain, err := aead.Open(nil, b[:aead.NonceSize()], b[aead.NonceSize():], []byte(purpose))
	if err != nil || len(plain) < 8 || int64(binary.BigEndian.Uint64(plain)) <= p.now().Unix() {
		return nil, bad
	}
	return plain[8:], nil
}

func (p *People) sealer(ctx context.Context, purpose string) (cipher.AEAD, error) {
	meta, err := p.store.Meta(ctx)
	if err != nil {
		return nil, err
	}
	key, err := hkdf.Key(sha256.New, meta.Secret, nil, "nexd seal v1 "+purpose, 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}
