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

// RelayTokenLife is how long a relay token admits. A node takes another one when
// half of it has passed.
const RelayTokenLife = time.Hour

const (
	relayKeyLabel    = "nexd relay token v1"
	relayTokenPrefix = "nxr_"
	relayTokenFixed  = 1 + 8 + mesh.KeySize // version, expiry, node key
	maxRelayToken    = 1024                 // characters
)

// RelayToken admits a node to its organization's relays and says where they and
// the STUN servers are. Without a relay Token and URLs are empty.
type RelayToken struct {
	Token   string    `json:"token,omitempty"`
	Expires time.Time `json:"expires,omitzero"`
	URLs    []string  `json:"urls"` // of relays; on the wire a path is one under the service's own URL
	UDP     []string  `json:"udp"`  // HOST:PORT of the same relays over UDP; on the wire without a host: the service's
	STUN    []string  `json:"stun"` // HOST:PORT; the same
}

// RelayClaims are what a relay token says of its holder.
type RelayClaims struct {
	Org     mesh.OrgID
	Node    mesh.Key
	Expires time.Time // whole seconds
}

// RelayKey is the key of relay tokens, derived from the secret of the database, so
// that every replica has the same and a relay needs not know the secret.
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

// SignRelayToken makes a token's text.
func SignRelayToken(key []byte, c RelayClaims) string {
	b := make([]byte, 0, relayTokenFixed+len(c.Org)+sha256.Size)
	b = append(b, 1)
	b = binary.BigEndian.AppendUint64(b, uint64(c.Expires.Unix()))
	b = append(b, c.Node[:]...)
	b = append(b, c.Org...)
	return relayTokenPrefix + base64.RawURLEncoding.EncodeToString(append(b, relayMAC(key, b)...))
}

// VerifyRelayToken reads a token that is of this key and not expired. Whether its
// holder is the node it names is for a proof of the node's key to say.
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

// RelayToken asks for admission to the relay, and where it and STUN are. URLs are
// absolute and every HOST:PORT has a host.
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

// HTTP is the client's own way to the service: the same trust (pin or roots, never
// both), the same HTTP proxies, no redirects. It is for what else speaks to the
// service, such as package relay; nobody else is reached by it.
func (c *Client) HTTP() *http.Client { return c.http }
