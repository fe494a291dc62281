package people

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"time"

	"nexd/control"
	"nexd/mesh"
	"nexd/service/store"
)

const (
	tokenLife     = 30 * 24 * time.Hour
	mostTokenLife = 366 * 24 * time.Hour
	mostTokens    = 100
)

// Tokens lists the caller's API tokens, newest first.
func (p *People) Tokens(ctx context.Context, c Caller) ([]store.APIToken, error) {
	if err := c.may(false); err != nil {
		return nil, err
	}
	return p.store.APITokens(ctx, c.UserID)
}

// CreateToken makes an API token of the caller: life 0 is 30 days, at most 366. A
// token makes none that may do more, or live longer, than itself. text is not to
// be had again.
func (p *People) CreateToken(ctx context.Context, c Caller, description string, scopes []Scope, life time.Duration) (t store.APIToken, text string, err error) {
	if err := c.may(true); err != nil {
		return t, "", err
	}
	words, err := scopeWords(scopes)
	switch {
	case err != nil:
		return t, "", err
	case life < 0 || life > mostTokenLife:
		return t, "", mesh.Errorf(mesh.Invalid, "people: an API token of %v; at most %v", life, mostTokenLife)
	case life == 0:
		life = tokenLife
	}
	if c.Via == ViaToken {
		life = min(life, c.Expires.Sub(p.now())) // a caller by token that may change things has every scope
	}
	have, err := p.store.APITokens(ctx, c.UserID)
	if err != nil {
		return t, "", err
	}
	usable := 0
	for _, h := range have {
		if h.State(p.now()) == "usable" {
			usable++
		}
	}
	if usable >= mostTokens {
		return t, "", mesh.Errorf(mesh.Exhausted, "people: %s has %d API tokens already; revoke one first", c.Email, usable)
	}
	return p.store.CreateAPIToken(c.acting(ctx), c.UserID, description, words, life)
}

// scopeWords is how scopes are kept.
func scopeWords(scopes []Scope) (string, error) {
	var words []string
	for _, s := range scopes {
		if s != ScopeRead && s != ScopeWrite {
			return "", mesh.Errorf(mesh.Invalid, "people: scope %q is neither read nor write", s)
		}
		if !slices.Contains(words, string(s)) {
			words = append(words, string(s))
		}
	}
	if len(words) == 0 {
		return "", mesh.Errorf(mesh.Invalid, "people: an API token needs a scope: read or write")
	}
	slices.Sort(words)
	return strings.Join(words, " "), nil
}

// ScopesOf are the scopes of a token.
func ScopesOf(t store.APIToken) []Scope {
	var scopes []Scope
	for w := range strings.FieldsSeq(t.Scopes) {
		scopes = append(scopes, Scope(w))
	}
	return scopes
}

// RevokeToken ends one of the caller's tokens.
func (p *People) RevokeToken(ctx context.Context, c Caller, id string) (store.APIToken, error) {
	if err := c.may(true); err != nil {
		return store.APIToken{}, err
	}
	t, err := p.store.RevokeAPIToken(c.acting(ctx), c.UserID, id)
	return t, hide(err, "API token")
}

// Token finds who an API token (nxt_…) belongs to; an unknown, expired or revoked
// one is mesh.Denied with control.ReasonToken.
func (p *People) Token(ctx context.Context, text string, from netip.Addr) (Caller, error) {
	none := control.Errorf(mesh.Denied, control.ReasonToken, "people: the call needs an API token that is neither expired nor revoked")
	if !strings.HasPrefix(text, "nxt_") || len(text) > mostSecret {
		return Caller{}, none
	}
	t, u, err := p.store.APIToken(ctx, text)
	switch mesh.KindOf(err) {
	case mesh.Denied, mesh.NotFound:
		return Caller{}, none
	}
	if err != nil {
		return Caller{}, err
	}
	return Caller{UserID: u.ID, Email: u.Email, Name: u.Name, Via: ViaToken, Session: t.ID, Scopes: ScopesOf(t), From: from, Expires: t.Expires}, nil
}
