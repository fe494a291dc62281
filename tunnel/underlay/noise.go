package underlay

import (
	"crypto/ecdh"
	"crypto/hmac"
	"encoding/hex"
	"hash"

	"golang.org/x/crypto/blake2s"
	"golang.org/x/crypto/chacha20poly1305"

	"nexd/mesh"
)

// Layout of message 1: type 4, sender 4, ephemeral 32, static 32+16, timestamp
// 12+16, mac1 16, mac2 16.
const (
	staticEnd      = 8 + 32 + 48
	initiationHead = staticEnd + stampSize + chacha20poly1305.Overhead // includes the timestamp
	stampSize      = 12
)

// stamp is the time of an initiation. A later one is greater, byte by byte.
type stamp [stampSize]byte

const (
	noiseConstruction = "Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s"
	noiseIdentifier   = "WireGuard v1 zx2c4 Jason@zx2c4.com"
	labelMAC1         = "mac1----"
)

// opener does the first steps of a message 1's receiver: it checks that the sender knows
// this node's public key (mac1), and decrypts the sender's public key.
type opener struct {
	priv  *ecdh.PrivateKey
	mac1  [blake2s.Size]byte // key of mac1
	chain [blake2s.Size]byte // Noise state before message 1
	hash  [blake2s.Size]byte // … with this node's public key mixed in
}

func newOpener(priv mesh.PrivateKey) (*opener, error) {
	raw, err := hex.DecodeString(priv.Hex())
	if err != nil {
		return nil, mesh.Errorf(mesh.Internal, "underlay: private key: %w", err)
	}
	o := new(opener)
	if o.priv, err = ecdh.X25519().NewPrivateKey(raw); err != nil {
		return nil, mesh.Errorf(mesh.Internal, "underlay: private key: %w", err)
	}
	pub := priv.Public()
	o.mac1 = blake2s.Sum256(append([]byte(labelMAC1), pub[:]...))
	o.chain = blake2s.Sum256([]byte(noiseConstruction))
	o.hash = mixHash(mixHash(o.chain, []byte(noiseIdentifier)), pub[:])
	return o, nil
}

// checkMAC1 reports whether the sender of a message 1 or 2 knows this node's public key.
func (o *opener) checkMAC1(msg []byte) bool {
	at := len(msg) - 2*blake2s.Size128 // both end with mac1 and mac2
	mac, err := blake2s.New128(o.mac1[:])
	if err != nil {
		return false
	}
	mac.Write(msg[:at])
	var sum [blake2s.Size128]byte
	return hmac.Equal(mac.Sum(sum[:0]), msg[at:at+blake2s.Size128])
}

// mac1Of is the mac1 of a message 1 or 2.
func mac1Of(msg []byte) [blake2s.Size128]byte {
	return [blake2s.Size128]byte(msg[len(msg)-2*blake2s.Size128:])
}

// opened is a message 1 whose static field is decrypted.
type opened struct {
	key   mesh.Key           // the sender's, not yet proved
	chain [blake2s.Size]byte // Noise state before the timestamp
	hash  [blake2s.Size]byte
}

// open decrypts the sender's static key in a message 1, or its head. Anybody who knows this
// node's public key can make a message with any key in it; time proves that the sender
// has the private key.
func (o *opener) open(msg []byte) (m opened, ok bool) {
	ephemeral, static := msg[8:40], msg[40:staticEnd]
	theirs, err := ecdh.X25519().NewPublicKey(ephemeral)
	if err != nil {
		return m, false
	}
	shared, err := o.priv.ECDH(theirs)
	if err != nil { // low-order point
		return m, false
	}
	h := mixHash(o.hash, ephemeral)
	prk := mac(o.chain[:], ephemeral)
	chain, key := derive(mac(prk, []byte{1}), shared)
	aead, err := chacha20poly1305.New(key)
	if err != nil {
		return m, false
	}
	var nonce [chacha20poly1305.NonceSize]byte
	if _, err := aead.Open(m.key[:0], nonce[:], static, h[:]); err != nil {
		return m, false
	}
	m.chain, m.hash = [blake2s.Size]byte(chain), mixHash(h, static)
	return m, true
}

// time decrypts the timestamp of an opened message 1, or its head. secret is the shared
// secret of the sender's key and this node's, so success proves that the sender has its
// private key. Comparing the time with earlier ones shows a replay.
func (m *opened) time(msg []byte, secret *[32]byte) (t stamp, ok bool) {
	_, key := derive(m.chain[:], secret[:])
	aead, err := chacha20poly1305.New(key)
	if err != nil {
		return t, false
	}
	var nonce [chacha20poly1305.NonceSize]byte
	_, err = aead.Open(t[:0], nonce[:], msg[staticEnd:initiationHead], m.hash[:])
	return t, err == nil
}

// derive is Noise's derivation of two keys: the next chaining key and an encryption key.
func derive(chain, input []byte) (next, key []byte) {
	prk := mac(chain, input)
	next = mac(prk, []byte{1})
	return next, mac(prk, append(append([]byte(nil), next...), 2))
}

func mixHash(h [blake2s.Size]byte, data []byte) [blake2s.Size]byte {
	return blake2s.Sum256(append(h[:], data...))
}

// mac is HMAC-BLAKE2s, the base of the key derivation.
func mac(key, data []byte) []byte {
	m := hmac.New(func() hash.Hash {
		h, err := blake2s.New256(nil)
		if err != nil {
			panic("underlay: unkeyed BLAKE2s cannot fail: " + err.Error())
		}
		return h
	}, key)
	m.Write(data)
	return m.Sum(nil)
}
