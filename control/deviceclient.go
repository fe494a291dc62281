package control

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"time"

	"nexd/mesh"
)

// String hides the device code from logs.
func (d DeviceLogin) String() string { return fmt.Sprintf("(device login %s)", d.UserCode) }

// GoString hides the device code from %#v.
func (d DeviceLogin) GoString() string { return d.String() }

const (
	pollDefault = 5 * time.Second // RFC 8628, section 3.2
	pollSlower  = 5 * time.Second // section 3.5: added by every slow_down
	pollMost    = time.Minute     // even if the service asks for more
	loginMost   = 24 * time.Hour
)

// StartDeviceLogin requests a code for a person to approve. It fills in PublicKey and
// ServerPin of r. Links in the answer are absolute, and all texts are printable.
func (c *Client) StartDeviceLogin(ctx context.Context, r DeviceLoginRequest) (DeviceLogin, error) {
	var out DeviceLogin
	err := c.proven(ctx, PathDeviceLogin, func(pin Pin) any {
		r.PublicKey, r.ServerPin = c.cfg.Key.Public(), pin
		return r
	}, &out)
	if err == nil {
		err = c.checkLogin(&out)
	}
	if err != nil {
		return DeviceLogin{}, err
	}
	return out, nil
}

// checkLogin refuses an answer that cannot be shown or used, and fills in defaults.
func (c *Client) checkLogin(d *DeviceLogin) (err error) {
	switch {
	case d.DeviceCode == "" || len(d.DeviceCode) > 512 || !graphic(d.DeviceCode),
		d.UserCode == "" || len(d.UserCode) > 32 || !graphic(d.UserCode), d.ExpiresIn <= 0:
		return c.errorf(mesh.Invalid, "the answer to the device login holds no usable code")
	}
	if d.VerificationURI, err = c.link(d.VerificationURI); err != nil {
		return err
	}
	if d.VerificationURIComplete == "" {
		d.VerificationURIComplete = d.VerificationURI + "?user_code=" + url.QueryEscape(d.UserCode)
	} else if d.VerificationURIComplete, err = c.link(d.VerificationURIComplete); err != nil {
		return err
	}
	return nil
}

// link makes a page's address absolute. A path is relative to the base URL of the service,
// which no header can change.
func (c *Client) link(uri string) (string, error) {
	if strings.HasPrefix(uri, "/") && !strings.HasPrefix(uri, "//") {
		uri = c.cfg.URL.Base() + uri
	}
	u, err := url.Parse(uri)
	if err != nil || u.Hostname() == "" || u.User != nil || u.Scheme != "https" && u.Scheme != "http" || len(uri) > 2000 || !graphic(uri) {
		return "", c.errorf(mesh.Invalid, "the answer to the device login holds no usable link")
	}
	if u.Scheme == "http" && c.cfg.URL.Scheme == "https" {
		return "", c.errorf(mesh.Invalid, "the link for approval is http://, though the service is https://; whoever runs it should correct --public-url")
	}
	return uri, nil
}

// graphic reports whether s is printable ASCII without spaces.
func graphic(s string) bool {
	for _, r := range s {
		if r <= ' ' || r >= 0x7f {
			return false
		}
	}
	return true
}

// Life is the lifetime of the code.
func (d DeviceLogin) Life() time.Duration {
	return min(time.Duration(d.ExpiresIn)*time.Second, loginMost)
}

// PollDeviceLogin waits until a person has decided or the code has expired. It polls at the
// service's interval, and less often each time the service asks to slow down (RFC 8628,
// section 3.5). It keeps polling while the service is unavailable. The reasons of its errors
// are ReasonAccessDenied and ReasonExpiredToken.
func (c *Client) PollDeviceLogin(ctx context.Context, d DeviceLogin) (DeviceToken, error) {
	end := time.Now().Add(d.Life())
	wait := pollDefault
	if d.Interval > 0 {
		wait = min(time.Duration(d.Interval)*time.Second, pollMost)
	}
	var away error // of the last poll without an answer
	var back Backoff
	for {
		pause := wait
		if away != nil {
			pause = max(wait, back.Next(0, away))
		}
		left := time.Until(end)
		if left <= 0 {
			return DeviceToken{}, c.loginExpired(d, away)
		}
		if err := sleep(ctx, min(pause, left)); err != nil {
			return DeviceToken{}, c.errorf(mesh.Unavailable, "waiting for approval: %w", err)
		}
		out, err := c.pollOnce(ctx, d)
		switch reason := ReasonOf(err); {
		case err == nil:
			return out, nil
		case reason == ReasonPending:
			away = nil
			back.Reset()
		case reason == ReasonSlowDown:
			away = nil
			wait = min(max(wait+pollSlower, RetryAfter(err)), pollMost)
		case passing(err) && ctx.Err() == nil:
			away = err
		default:
			return DeviceToken{}, err
		}
	}
}

func (c *Client) pollOnce(ctx context.Context, d DeviceLogin) (out DeviceToken, err error) {
	err = c.proven(ctx, PathDeviceToken, func(pin Pin) any {
		return DeviceTokenRequest{PublicKey: c.cfg.Key.Public(), ServerPin: pin, DeviceCode: d.DeviceCode}
	}, &out)
	out.Organization = oneLine(out.Organization)
	return out, err
}

func (c *Client) loginExpired(d DeviceLogin, away error) error {
	if away != nil {
		return Errorf(mesh.Denied, ReasonExpiredToken, "control: %s: the code %s has expired, and the service could not be reached: %w", c.cfg.URL.Base(), d.UserCode, away)
	}
	return Errorf(mesh.Denied, ReasonExpiredToken, "control: %s: nobody approved the code %s before it expired", c.cfg.URL.Base(), d.UserCode)
}

// passing reports whether the same call may succeed later.
func passing(err error) bool {
	switch mesh.KindOf(err) {
	case mesh.Unavailable, mesh.Internal, mesh.Exhausted:
		return true
	}
	return false
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}
