package web

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"nexd/mesh"
	"nexd/service/people"
)

// Provider is an identity provider that speaks OpenID Connect.
type Provider struct {
	ID           string // in paths: lower-case letters and digits
	Name         string // on the button
	Issuer       string
	ClientID     string
	ClientSecret string
}

func (p Provider) check(before []*provider) error {
	u, err := url.Parse(p.Issuer)
	switch {
	case !isSlug(p.ID):
		return mesh.Errorf(mesh.Invalid, "web: identity provider %q: its ID has other than lower-case letters and digits", p.ID)
	case err != nil || u.Host == "" || u.Scheme != "https" && !isLoopback(u):
		return mesh.Errorf(mesh.Invalid, "web: identity provider %s: issuer %q is not of the form https://…", p.ID, p.Issuer)
	case p.ClientID == "":
		return mesh.Errorf(mesh.Invalid, "web: identity provider %s: no client ID", p.ID)
	}
	for _, b := range before {
		if b.ID == p.ID {
			return mesh.Errorf(mesh.Invalid, "web: two identity providers have the ID %s", p.ID)
		}
	}
	return nil
}

func isSlug(s string) bool {
	for _, r := range s {
		if (r < 'a' || r > 'z') && (r < '0' || r > '9') {
			return false
		}
	}
	return s != "" && len(s) <= 40
}

func isLoopback(u *url.URL) bool {
	h := u.Hostname()
	return u.Scheme == "http" && (h == "localhost" || h == "127.0.0.1" || h == "::1")
}

// provider is an identity provider with its metadata, once discovered.
type provider struct {
	Provider
	callback string // our redirect URL; each provider has its own, so that answers cannot be mixed up

	mu   sync.Mutex
	meta *discovered
}

type discovered struct {
	oidc     *oidc.Provider
	verifier *oidc.IDTokenVerifier
	config   oauth2.Config
	saysIss  bool // promises iss in its answers (RFC 9207)
}

// discover gets the metadata of the provider, once.
func (p *provider) discover(ctx context.Context) (*discovered, error) {
	p.mu.Lock()
	m := p.meta
	p.mu.Unlock()
	if m != nil {
		return m, nil
	}
	found, err := oidc.NewProvider(ctx, p.Issuer)
	if err != nil {
		return nil, mesh.Errorf(mesh.Unavailable, "web: %s does not answer as an identity provider: %w", p.Name, err)
	}
	var extra struct {
		SaysIss bool `json:"authorization_response_iss_parameter_supported"`
	}
	if err := found.Claims(&extra); err != nil {
		return nil, mesh.Errorf(mesh.Unavailable, "web: %s has metadata that cannot be read", p.Name)
	}
	m = &discovered{
		oidc: found, saysIss: extra.SaysIss,
		verifier: found.Verifier(&oidc.Config{ClientID: p.ClientID}),
		config: oauth2.Config{
			ClientID: p.ClientID, ClientSecret: p.ClientSecret, Endpoint: found.Endpoint(), RedirectURL: p.callback,
			Scopes: []string{oidc.ScopeOpenID, "email", "profile"},
		},
	}
	p.mu.Lock()
	p.meta = m
	p.mu.Unlock()
	return m, nil
}

// asking is ctx with the HTTP client for requests to providers.
func (w *Web) asking(ctx context.Context) context.Context { return oidc.ClientContext(ctx, w.client) }

// askTimeout is how long a provider may take to answer.
const askTimeout = 10 * time.Second

// started is a sign-in that is under way. It is stored, sealed, in a cookie of the
// browser that started it.
type started struct {
	Provider   string `json:"p"`
	State      string `json:"s"`
	Nonce      string `json:"n"`
	Verifier   string `json:"v"`
	Next       string `json:"x"`
	Invitation string `json:"i,omitempty"`
}

const (
	sealPurpose = "oidc sign-in"
	signInLife  = 10 * time.Minute
)

func (w *Web) provider(id string) (*provider, error) {
	for _, p := range w.providers {
		if p.ID == id {
			return p, nil
		}
	}
	return nil, errNoPage
}

// oidcStart sends the browser to the provider.
func (w *Web) oidcStart(rw http.ResponseWriter, r *http.Request, v *visit) error {
	p, err := w.provider(r.PathValue("provider"))
	if err != nil {
		return err
	}
	m, err := p.discover(w.asking(background(r)))
	if err != nil {
		w.log.Warn("identity provider not usable", "provider", p.ID, "err", err)
		return mesh.Errorf(mesh.Unavailable, "web: %s cannot be reached right now; try again, or sign in another way", p.Name)
	}
	q := r.URL.Query()
	s := started{Provider: p.ID, State: random(), Nonce: random(), Verifier: oauth2.GenerateVerifier(), Next: localPath(q.Get("next"))}
	if inv := q.Get("invite"); len(inv) <= 200 {
		s.Invitation = inv
	}
	b, err := json.Marshal(s)
	if err != nil {
		return err
	}
	sealed, err := w.people.Seal(r.Context(), sealPurpose, b)
	if err != nil {
		return err
	}
	w.setCookie(rw, cookieOIDC, sealed, signInLife)
	return redirect(rw, r, m.config.AuthCodeURL(s.State, oidc.Nonce(s.Nonce), oauth2.S256ChallengeOption(s.Verifier)))
}

var errStrayed = mesh.Errorf(mesh.Denied, "web: this answer does not belong to a sign-in that was started in this browser; sign in again")

// oidcCallback receives the browser with the provider's answer.
func (w *Web) oidcCallback(rw http.ResponseWriter, r *http.Request, v *visit) error {
	p, err := w.provider(r.PathValue("provider"))
	if err != nil {
		return err
	}
	s, err := w.resume(rw, r, p)
	if err != nil {
		return err
	}
	if code := r.URL.Query().Get("error"); code != "" {
		w.log.Info("identity provider refused the sign-in", "provider", p.ID, "code", code[:min(len(code), 60)])
		return w.showLogin(rw, r, v, http.StatusForbidden, loginData{Next: s.Next}, wrong{"", p.Name + " did not sign you in."})
	}
	who, err := w.vouched(r, p, s)
	if err != nil {
		return err
	}
	session, err := w.people.LoginOIDC(r.Context(), who, s.Invitation, v.from)
	if problem, ok := asWrong(err, ""); ok {
		return w.showLogin(rw, r, v, statusOf[mesh.KindOf(err)], loginData{Next: s.Next}, problem)
	}
	if err != nil {
		return err
	}
	w.open(rw, r, session)
	return redirect(rw, r, s.Next)
}

// resume finds the sign-in that an answer belongs to: it was started in this browser,
// with this state, at this provider. Each sign-in can be resumed once.
func (w *Web) resume(rw http.ResponseWriter, r *http.Request, p *provider) (s started, err error) {
	sealed := w.cookie(r, cookieOIDC)
	w.dropCookie(rw, cookieOIDC)
	if sealed == "" {
		return s, errStrayed
	}
	b, err := w.people.Unseal(r.Context(), sealPurpose, sealed)
	if err != nil || json.Unmarshal(b, &s) != nil {
		return s, errStrayed
	}
	state := r.URL.Query().Get("state")
	if s.State == "" || subtle.ConstantTimeCompare([]byte(state), []byte(s.State)) != 1 || s.Provider != p.ID {
		return s, errStrayed
	}
	return s, nil
}

// vouched exchanges the code and checks the ID token.
func (w *Web) vouched(r *http.Request, p *provider, s started) (who people.External, err error) {
	refuse := func(why string, err error) error {
		w.log.Warn("sign-in at an identity provider refused", "provider", p.ID, "why", why, "err", err)
		return mesh.Errorf(mesh.Denied, "web: the answer of %s was not accepted (%s); sign in again", p.Name, why)
	}
	ctx := w.asking(r.Context())
	m, err := p.discover(w.asking(background(r)))
	if err != nil {
		return who, mesh.Errorf(mesh.Unavailable, "web: %s cannot be reached right now; try again", p.Name)
	}
	q := r.URL.Query()
	if iss := q.Get("iss"); q.Has("iss") && iss != p.Issuer || !q.Has("iss") && m.saysIss {
		return who, refuse("it comes from another issuer", nil)
	}
	token, err := m.config.Exchange(ctx, q.Get("code"), oauth2.VerifierOption(s.Verifier))
	if err != nil {
		return who, refuse("its code is not good", codeOnly(err))
	}
	raw, ok := token.Extra("id_token").(string)
	if !ok {
		return who, refuse("it has no ID token", nil)
	}
	id, err := m.verifier.Verify(ctx, raw)
	if err != nil {
		return who, refuse("its ID token is not good", err)
	}
	if s.Nonce == "" || subtle.ConstantTimeCompare([]byte(id.Nonce), []byte(s.Nonce)) != 1 {
		return who, refuse("its nonce is another", nil)
	}
	return w.describe(ctx, m, token, id)
}

// describe reads name and e-mail address of the person. Some providers leave them out of
// the ID token.
func (w *Web) describe(ctx context.Context, m *discovered, token *oauth2.Token, id *oidc.IDToken) (people.External, error) {
	var c struct {
		Email    string `json:"email"`
		Verified truth  `json:"email_verified"`
		Name     string `json:"name"`
	}
	if err := id.Claims(&c); err != nil {
		return people.External{}, mesh.Errorf(mesh.Denied, "web: the identity provider's answer cannot be read")
	}
	if c.Email == "" && m.oidc.UserInfoEndpoint() != "" {
		info, err := m.oidc.UserInfo(ctx, oauth2.StaticTokenSource(token))
		if err == nil && info.Subject == id.Subject {
			c.Email, c.Verified = info.Email, truth(info.EmailVerified)
			if err := info.Claims(&struct{ Name *string }{&c.Name}); err != nil {
				w.log.Debug("user info without a name", "err", err)
			}
		}
	}
	return people.External{Issuer: id.Issuer, Subject: id.Subject, Email: c.Email, EmailVerified: bool(c.Verified), Name: c.Name}, nil
}

// truth is a boolean claim, which some providers write as text. Any other value is false
// and does not make the other claims unreadable.
type truth bool

// UnmarshalJSON implements json.Unmarshaler.
func (t *truth) UnmarshalJSON(b []byte) error {
	*t = string(b) == "true" || string(b) == `"true"`
	return nil
}

// codeOnly keeps the answer of a token endpoint, which may hold anything, out of the
// log.
func codeOnly(err error) error {
	if re, ok := err.(*oauth2.RetrieveError); ok {
		return mesh.Errorf(mesh.Denied, "token endpoint answered %q", re.ErrorCode)
	}
	return err
}
