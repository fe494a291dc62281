package control

import (
	"net/netip"
	"time"

	"nexd/mesh"
)

// Paths of the device login (RFC 8628 in this protocol's terms): a node without a
// registration key asks, a person approves in a browser, and the node registers.
const (
	PathDeviceLogin = "/v1/device-login"
	PathDeviceToken = "/v1/device-login/token"
)

// Reasons of an answer to PathDeviceToken other than an approval, as in RFC 8628, section
// 3.5. Pending and SlowDown are mesh.Unavailable (503, with Retry-After); the others are
// mesh.Denied (403) and final.
const (
	ReasonPending      = "authorization_pending" // ask again after the interval
	ReasonSlowDown     = "slow_down"             // the same, and the interval is 5 s longer from now on
	ReasonAccessDenied = "access_denied"         // the person denied the request
	ReasonExpiredToken = "expired_token"         // unknown, expired or used: start again
)

// DeviceLoginRequest describes a waiting node. The call carries a proof like Register, so the
// page shows the key that will join.
type DeviceLoginRequest struct {
	PublicKey mesh.Key       `json:"public_key"`
	ServerPin Pin            `json:"server_pin,omitzero"`
	Hostname  string         `json:"hostname,omitempty"`
	OS        string         `json:"os,omitempty"`
	Version   string         `json:"version,omitempty"`
	Prefixes  []netip.Prefix `json:"prefixes"` // that it will request
}

// DeviceLogin is the answer: the code and the links to show, and the interval for polling.
type DeviceLogin struct {
	DeviceCode              string `json:"device_code"`               // secret: only for PathDeviceToken and Registration.Approval
	UserCode                string `json:"user_code"`                 // XXXX-XXXX
	VerificationURI         string `json:"verification_uri"`          // the page that asks for the code
	VerificationURIComplete string `json:"verification_uri_complete"` // the same, code filled in
	ExpiresIn               int    `json:"expires_in"`                // seconds
	Interval                int    `json:"interval"`                  // seconds between two polls
}

// DeviceTokenRequest asks whether the person has answered. It carries a proof too, so a
// stolen code is useless.
type DeviceTokenRequest struct {
	PublicKey  mesh.Key `json:"public_key"`
	ServerPin  Pin      `json:"server_pin,omitzero"`
	DeviceCode string   `json:"device_code"`
}

// DeviceToken is the answer after a person's approval. The node then registers with the
// device code as Registration.Approval, before Expires. It is valid for one node.
type DeviceToken struct {
	Organization string    `json:"organization"`
	Expires      time.Time `json:"expires"`
}
