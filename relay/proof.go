package relay

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"

	"nexd/mesh"
)

const (
	proofLabel   = "nexd relay v1"
	carrierLabel = "nexd relay udp v2"
)

// Proof shows that a node holds the private key that it names. It is valid for one connection only,
// since it covers the relay's key of that connection.
type Proof [sha256.Size]byte

// Equal compares in constant time.
func (p Proof) Equal(other Proof) bool { return hmac.Equal(p[:], other[:]) }

// Shared is what node and relay have in common after the handshake: the proof, and a key for each
// direction of the UDP carrier.
type Shared struct {
	Proof           Proof
	ToRelay, ToNode [32]byte
}

// NodeSecrets is the node's side of the handshake, RelaySecrets the relay's. Both return the same.
// A low-order key of the other side is an error.
func NodeSecrets(node mesh.PrivateKey, relay mesh.Key, token string) (Shared, error) {
	z, err := node.SharedSecret(relay)
	if err != nil {
		return Shared{}, err
	}
	return secrets(z, node.Public(), relay, token)
}

// RelaySecrets is the relay's side. relay is its key of this connection.
func RelaySecrets(relay mesh.PrivateKey, node mesh.Key, token string) (Shared, error) {
	z, err := relay.SharedSecret(node)
	if err != nil {
		return Shared{}, err
	}
	return secrets(z, node, relay.Public(), token)
}

func secrets(z [mesh.KeySize]byte, node, relay mesh.Key, token string) (s Shared, err error) {
	expand := func(label string, size int) ([]byte, error) {
		b, err := hkdf.Key(sha256.New, z[:], relay[:], label+string(node[:])+string(relay[:]), size)
		if err != nil {
			return nil, mesh.Errorf(mesh.Internal, "relay: handshake key: %w", err)
		}
		return b, nil
	}
	k, err := expand(proofLabel, sha256.Size)
	if err != nil {
		return Shared{}, err
	}
	what := sha256.Sum256([]byte(token))
	mac := hmac.New(sha256.New, k)
	mac.Write([]byte(proofLabel + "\x00"))
	mac.Write(relay[:])
	mac.Write(node[:])
	mac.Write(what[:])
	s.Proof = Proof(mac.Sum(nil))
	carrier, err := expand(carrierLabel, 64)
	if err != nil {
		return Shared{}, err
	}
	s.ToRelay, s.ToNode = [32]byte(carrier[:32]), [32]byte(carrier[32:])
	return s, nil
}

// Auth is the body of an auth frame, by which a node authenticates.
type Auth struct {
	Node  mesh.Key
	Proof Proof
	Token string
}

// AppendAuth appends an auth frame.
func AppendAuth(b []byte, a Auth) []byte {
	return AppendFrame(b, TypeAuth, a.Node[:], a.Proof[:], []byte(a.Token))
}

// ParseAuth reads the body of an auth frame.
func ParseAuth(body []byte) (a Auth, err error) {
	const fixed = mesh.KeySize + sha256.Size
	if len(body) <= fixed || len(body) > fixed+MaxToken {
		return a, mesh.Errorf(mesh.Invalid, "relay: auth of %d bytes", len(body))
	}
	a.Node, a.Proof, a.Token = mesh.Key(body[:mesh.KeySize]), Proof(body[mesh.KeySize:fixed]), string(body[fixed:])
	return a, nil
}
