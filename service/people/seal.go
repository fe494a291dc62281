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
	"time"

	"nexd/mesh"
)

// sealLife is how long sealed text can be read.
const sealLife = 10 * time.Minute

// Seal encrypts text for one purpose and ten minutes. Every service on this database
// can read it, and nobody else: it carries the state of a sign-in to the identity
// provider and back to any replica.
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

// Unseal decrypts what Seal encrypted for the same purpose in the last ten minutes.
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
