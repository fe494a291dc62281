package control

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"time"

	"nexd/mesh"
)

const (
	challengeLabel = "nexd challenge v1"
	proofLabel     = "nexd register v1"
	nonceRandom    = 16
)

// ChallengeLife is the lifetime of a challenge.
const ChallengeLife = 60 * time.Second

// Nonce is the part of a challenge that the node sends back: 16 random bytes and the time of
// expiry in seconds. The service does not store it.
type Nonce [nonceRandom + 8]byte

// NewNonce makes a nonce that expires ChallengeLife after now.
func NewNonce(now time.Time) (Nonce, error) {
	var n Nonce
	if _, err := rand.Read(n[:nonceRandom]); err != nil {
		return Nonce{}, mesh.Errorf(mesh.Internal, "control: no randomness for a challenge: %w", err)
	}
	binary.BigEndian.PutUint64(n[nonceRandom:], uint64(now.Add(ChallengeLife).Unix()))
	return n, nil
}

// ParseNonce reads the base64url form.
func ParseNonce(s string) (Nonce, error) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil || len(b) != len(Nonce{}) || base64.RawURLEncoding.EncodeToString(b) != s {
		return Nonce{}, mesh.Errorf(mesh.Invalid, "control: challenge %q must be %d bytes in base64url", clip(s), len(Nonce{}))
	}
	return Nonce(b), nil
}

// Expires is the time of expiry.
func (n Nonce) Expires() time.Time {
	return time.Unix(int64(binary.BigEndian.Uint64(n[nonceRandom:])), 0).UTC()
}

// String is the base64url form.
func (n Nonce) String() string { return base64.RawURLEncoding.EncodeToString(n[:]) }

// MarshalText implements encoding.TextMarshaler.
func (n Nonce) MarshalText() ([]byte, error) { return []byte(n.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (n *Nonce) UnmarshalText(text []byte) (err error) {
	*n, err = ParseNonce(string(text))
	return err
}

// Proof is a node's answer to a challenge.
type Proof [sha256.Size]byte

// ParseProof reads the base64url form.
func ParseProof(s string) (Proof, error) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil || len(b) != len(Proof{}) {
		return Proof{}, mesh.Errorf(mesh.Invalid, "control: the proof must be %d bytes in base64url", len(Proof{}))
	}
	return Proof(b), nil
}

// String is the base64url form.
func (p Proof) String() string { return base64.RawURLEncoding.EncodeToString(p[:]) }

// Equal compares in constant time.
func (p Proof) Equal(other Proof) bool { return hmac.Equal(p[:], other[:]) }

// ServiceKey returns the service's private key for one challenge to one node. It is derived
// from the secret of the database, nonce and node key, so every replica derives the same key
// and none stores it.
func ServiceKey(secret []byte, nonce Nonce, node mesh.Key) (mesh.PrivateKey, error) {
	if len(secret) < 32 {
		return mesh.PrivateKey{}, mesh.Errorf(mesh.Internal, "control: service secret of %d bytes", len(secret))
	}
	b, err := hkdf.Key(sha256.New, secret, nonce[:], challengeLabel+string(node[:]), mesh.KeySize)
	if err != nil {
		return mesh.PrivateKey{}, mesh.Errorf(mesh.Internal, "control: challenge key: %w", err)
	}
	return mesh.ParsePrivateKey(base64.StdEncoding.EncodeToString(b))
}

// Prove is the node's side: it returns the proof for a challenge and a request.
func Prove(node mesh.PrivateKey, service mesh.Key, nonce Nonce, path string, body []byte) (Proof, error) {
	shared, err := node.SharedSecret(service)
	if err != nil {
		return Proof{}, err
	}
	return seal(shared, node.Public(), service, nonce, path, body)
}

// Expect is the service's side: it returns the proof that the holder of node's private key
// must send. The caller has checked that the nonce has not expired.
func Expect(service mesh.PrivateKey, node mesh.Key, nonce Nonce, path string, body []byte) (Proof, error) {
	shared, err := service.SharedSecret(node)
	if err != nil {
		return Proof{}, err
	}
	return seal(shared, node, service.Public(), nonce, path, body)
}

func seal(shared [mesh.KeySize]byte, node, service mesh.Key, nonce Nonce, path string, body []byte) (Proof, error) {
	info := proofLabel + string(node[:]) + string(service[:])
	k, err := hkdf.Key(sha256.New, shared[:], nonce[:], info, sha256.Size)
	if err != nil {
		return Proof{}, mesh.Errorf(mesh.Internal, "control: proof key: %w", err)
	}
	where, what := sha256.Sum256([]byte(path)), sha256.Sum256(body)
	mac := hmac.New(sha256.New, k)
	mac.Write([]byte(proofLabel + "\x00"))
	mac.Write(nonce[:])
	mac.Write(where[:])
	mac.Write(what[:])
	return Proof(mac.Sum(nil)), nil
}
