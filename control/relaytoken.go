package control

import (
	"context"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"net/http"
	"strings"
	"time"

	"nexd/mesh"
)

// Paths of the relay, under the service's base URL.
const (
	PathRelayToken = "/v1/relay-token"
	PathRelay      = "/v1/relay"
)

// RelayTokenLife is the lifetime of a relay token. A node requests another token after half of
// it.
const RelayTokenLife = time.Hour

const (
	relayKeyLabel    = "nexd relay token v1"
	relayTokenPrefix = "nxr_"
	relayTokenFixed  = 1 + 8 + mesh.KeySize // version, expiry, node key
	maxRelayToken    = 1024                 // characters
)

// RelayToken admits a node to its organization's relays, and has the addresses of relays and
// STUN servers. Without a relay, Token and URLs are empty.
type RelayToken struct {
	Token   string    `json:"token,omitempty"`
	Expires time.Time `json:"expires,omitzero"`
	URLs    []string  `json:"urls"` // of relays; on the wire a path is one under the service's own URL
	UDP     []string  `json:"udp"`  // HOST:PORT of the same relays over UDP; on the wire without a host: the service's
	STUN    []string  `json:"stun"` // HOST:PORT; the same
}

// RelayClaims are the claims of a relay token.
type RelayClaims struct {
	Org     mesh.OrgID
	Node    mesh.Key
	Expires time.Time // whole seconds
}

// RelayKey returns the key of relay tokens, derived from the secret of the database. Every
// replica has the same key, and a relay does not need the secret.
func RelayKey(secret []byte) ([]byte, error) {
	if len(secret) < 32 {
		return nil, mesh.Errorf(mesh.Internal, "control: service secret of %d bytes", len(secret))
	}
	key, err := hkdf.Key(sha256.New, secret, nil, relayKeyLabel, sha256.Size)
	if err != nil {
		return nil, mesh.Errorf(mesh.Internal, "control: relay key: %w", err)
	}
	return key, nil
}

// SignRelayToken returns the text of a token.
func SignRelayToken(key []byte, c RelayClaims) string {
	b := make([]byte, 0, relayTokenFixed+len(c.Org)+sha256.Size)
	b = append(b, 1)
	b = binary.BigEndian.AppendUint64(b, uint64(c.Expires.Unix()))
	b = append(b, c.Node[:]...)
	b = append(b, c.Org...)
	return relayTokenPrefix + base64.RawURLEncoding.EncodeToString(append(b, relayMAC(key, b)...))
}

// VerifyRelayToken reads a token, which must be signed with this key and not expired. It does
// not prove that the holder is the node in the token; a proof of the node's key does.
func VerifyRelayToken(key []byte, text string, now time.Time) (RelayClaims, error) {
	denied := func(why string) (RelayClaims, error) {
		return RelayClaims{}, Errorf(mesh.Denied, ReasonRelayToken, "control: the relay token %s; request another one", why)
	}
	enc, ok := strings.CutPrefix(text, relayTokenPrefix)
	if !ok || len(text) > maxRelayToken {
		return denied("is none")
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(enc)
	if err != nil || len(b) <= relayTokenFixed+sha256.Size || b[0] != 1 {
		return denied("is none")
	}
	said, mac := b[:len(b)-sha256.Size], b[len(b)-sha256.Size:]
	if !hmac.Equal(mac, relayMAC(key, said)) {
		return denied("is not of this service")
	}
	c := RelayClaims{
		Expires: time.Unix(int64(binary.BigEndian.Uint64(said[1:])), 0).UTC(),
		Node:    mesh.Key(said[9:relayTokenFixed]),
		Org:     mesh.OrgID(said[relayTokenFixed:]),
	}
	if !now.Before(c.Expires) {
		return denied("has expired")
	}
	return c, nil
}

func relayMAC(key, said []byte) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(relayKeyLabel + "\x00"))
	mac.Write(said)
	return mac.Sum(nil)
}

// RelayToken requests a relay token. URLs in the answer are absolute, and every HOST:PORT has a
// host.
func (c *Client) RelayToken(ctx context.Context) (RelayToken, error) {
	var out RelayToken
	if err := c.call(ctx, http.MethodPost, PathRelayToken, nil, &out); err != nil {
		return RelayToken{}, err
	}
	for i, u := range out.URLs {
		if strings.HasPrefix(u, "/") {
			out.URLs[i] = c.cfg.URL.Base() + u
		}
	}
	return out, c.hosts(out.UDP, out.STUN)
}

// HTTP returns the client's HTTP client for the service: the same trust (pin or roots, never
// both), the same HTTP proxies, no redirects. Other packages use it for the same service, such
// as package relay; it reaches no other server.
func (c *Client) HTTP() *http.Client { return c.http }
