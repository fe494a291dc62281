package web

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"time"

	"nexd/mesh"
	"nexd/service/people"
)

// policy lets a page load the service's own stylesheet and script and nothing else. The
// pages contain no inline script or style.
const policy = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; " +
	"form-action 'self'; frame-ancestors 'none'; base-uri 'none'"

// There is no Strict-Transport-Security: it would apply to every other port of the host
// and make a self-signed certificate impossible to accept.
var pageHeaders = map[string]string{
	"Content-Security-Policy":      policy,
	"X-Content-Type-Options":       "nosniff",
	"X-Frame-Options":              "DENY",
	"Referrer-Policy":              "same-origin", // no-referrer would remove Origin from our own forms
	"Cross-Origin-Opener-Policy":   "same-origin",
	"Cross-Origin-Resource-Policy": "same-origin",
	"Permissions-Policy":           "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
	"Cache-Control":                "no-store",
}

// protected adds the headers to every answer, and refuses forms that another site makes
// a browser send.
func (w *Web) protected(next http.Handler) (http.Handler, error) {
	cross := http.NewCrossOriginProtection()
	if err := cross.AddTrustedOrigin(w.base.String()); err != nil {
		return nil, mesh.Errorf(mesh.Invalid, "web: public URL: %w", err)
	}
	cross.SetDenyHandler(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.fail(rw, r, &visit{}, mesh.Errorf(mesh.Denied, "web: the form was sent by another site, so nothing was done"))
	}))
	checked := cross.Handler(next)
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		for k, v := range pageHeaders {
			rw.Header().Set(k, v)
		}
		checked.ServeHTTP(rw, r)
	}), nil
}

// The cookies: the session, the secret behind the tokens of forms before a sign-in, a
// message for the next page, and the state of a sign-in at an identity provider.
const (
	cookieSession = "nexd"
	cookieForm    = "nexd-form"
	cookieFlash   = "nexd-flash"
	cookieOIDC    = "nexd-oidc"
)

// cookieName adds the prefix that makes a browser accept the cookie only from this host
// and over TLS.
func (w *Web) cookieName(name string) string {
	if w.secure {
		return "__Host-" + name
	}
	return name
}

func (w *Web) setCookie(rw http.ResponseWriter, name, value string, life time.Duration) {
	c := &http.Cookie{
		Name: w.cookieName(name), Value: value, Path: "/", Secure: w.secure, HttpOnly: true, SameSite: http.SameSiteLaxMode,
		MaxAge: int(life / time.Second),
	}
	if c.MaxAge <= 0 {
		c.MaxAge = -1
	}
	http.SetCookie(rw, c)
}

func (w *Web) dropCookie(rw http.ResponseWriter, name string) { w.setCookie(rw, name, "", 0) }

// cookie is the value of one of our cookies, "" if there is none.
func (w *Web) cookie(r *http.Request, name string) string {
	c, err := r.Cookie(w.cookieName(name))
	if err != nil || len(c.Value) > 4096 {
		return ""
	}
	return c.Value
}

// open gives a new session to the browser and ends its previous one.
func (w *Web) open(rw http.ResponseWriter, r *http.Request, s people.Session) {
	if old := w.cookie(r, cookieSession); old != "" && old != s.Cookie {
		if err := w.people.Logout(background(r), old); err != nil {
			w.log.Warn("session before a sign-in not ended", "err", err)
		}
	}
	w.dropCookie(rw, cookieForm)
	w.setCookie(rw, cookieSession, s.Cookie, s.Expires.Sub(w.now()))
}

// formToken is the token in the forms of this visit: that of the session or, before a
// sign-in, one that belongs to a cookie of its own.
func (w *Web) formToken(rw http.ResponseWriter, r *http.Request, v *visit) string {
	if v.caller != nil {
		return v.caller.CSRF
	}
	secret := w.cookie(r, cookieForm)
	if len(secret) < 40 {
		secret = random()
		w.setCookie(rw, cookieForm, secret, 12*time.Hour)
	}
	return tokenOf(secret)
}

func tokenOf(secret string) string {
	sum := sha256.Sum256([]byte("nexd form\x00" + secret))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

func random() string {
	b := make([]byte, 32)
	rand.Read(b) // never fails
	return base64.RawURLEncoding.EncodeToString(b)
}

var errStale = mesh.Errorf(mesh.Denied, "web: the form is too old, so nothing was done; go back, reload the page and send it again")

// maxForm is the largest form, in bytes.
const maxForm = 64 << 10

// checkForm reads a form and refuses one without the token of the visit.
func (w *Web) checkForm(rw http.ResponseWriter, r *http.Request, v *visit) error {
	r.Body = http.MaxBytesReader(rw, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		return mesh.Errorf(mesh.Invalid, "web: the form cannot be read, so nothing was done")
	}
	want := ""
	if v.caller != nil {
		want = v.caller.CSRF
	} else if secret := w.cookie(r, cookieForm); secret != "" {
		want = tokenOf(secret)
	}
	if want == "" || subtle.ConstantTimeCompare([]byte(want), []byte(r.PostForm.Get("form"))) != 1 {
		return errStale
	}
	return nil
}

// flash is a message for the next page that is shown.
type flash struct {
	Kind string `json:"k"` // good, warn or bad
	Text string `json:"t"`
}

func (w *Web) setFlash(rw http.ResponseWriter, kind, text string) {
	b, err := json.Marshal(flash{kind, text})
	if err == nil {
		w.setCookie(rw, cookieFlash, base64.RawURLEncoding.EncodeToString(b), time.Minute)
	}
}

func (w *Web) takeFlash(rw http.ResponseWriter, r *http.Request) *flash {
	b, err := base64.RawURLEncoding.DecodeString(w.cookie(r, cookieFlash))
	var f flash
	if err != nil || json.Unmarshal(b, &f) != nil || f.Text == "" {
		return nil
	}
	w.dropCookie(rw, cookieFlash)
	if f.Kind != "good" && f.Kind != "warn" {
		f.Kind = "bad"
	}
	return &f
}
