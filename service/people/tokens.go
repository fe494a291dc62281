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

func (p *People) tokenInfo(t store.APIToken) control.Token {
	return control.Token{ID: t.ID, Prefix: t.Prefix, Description: t.Description, Scopes: strings.Fields(t.Scopes), State: t.State(p.now()),
		Created: t.Created, Expires: t.Expires, LastUsed: t.LastUsed}
}

// Tokens lists the caller's API tokens, newest first.
func (p *People) Tokens(ctx context.Context, c Caller) ([]control.Token, error) {
	if err := c.may(false); err != nil {
		return nil, err
	}
	ts, err := p.store.APITokens(ctx, c.UserID)
	return each(ts, p.tokenInfo), err
}

// CreateToken makes an API token of the caller, for 30 days unless the caller asks for
// another time, of at most 366 days. A token makes none that may do more, or live
// longer, than itself. The result alone carries the token's text.
func (p *People) CreateToken(ctx context.Context, c Caller, want control.NewToken) (control.Token, error) {
	if err := c.may(true); err != nil {
		return control.Token{}, err
	}
	life := lifetime(want.ExpiresIn)
	words, err := scopeWords(want.Scopes)
	switch {
	case err != nil:
		return control.Token{}, err
	case life < 0 || life > mostTokenLife:
		return control.Token{}, mesh.Errorf(mesh.Invalid, "people: an API token cannot last %v; at most %v", life, mostTokenLife)
	case life == 0:
		life = tokenLife
	}
	if c.Via == ViaToken {
		life = min(life, c.Expires.Sub(p.now())) // a token that may change things has every scope
	}
	have, err := p.store.APITokens(ctx, c.UserID)
	if err != nil {
		return control.Token{}, err
	}
	usable := 0
	for _, h := range have {
		if h.State(p.now()) == "usable" {
			usable++
		}
	}
	if usable >= mostTokens {
		return control.Token{}, mesh.Errorf(mesh.Exhausted, "people: %s has %d API tokens already; revoke one first", c.Email, usable)
	}
	t, text, err := p.store.CreateAPIToken(c.acting(ctx), c.UserID, want.Description, words, life)
	out := p.tokenInfo(t)
	out.Text = text
	return out, err
}

// scopeWords checks scopes and writes them as the store keeps them.
func scopeWords(scopes []string) (string, error) {
	for _, s := range scopes {
		if s != control.ScopeRead && s != control.ScopeWrite {
			return "", mesh.Errorf(mesh.Invalid, "people: scope %q is neither read nor write", s)
		}
	}
	if len(scopes) == 0 {
		return "", mesh.Errorf(mesh.Invalid, "people: an API token needs a scope: read or write")
	}
	words := slices.Sorted(slices.Values(scopes))
	return strings.Join(slices.Compact(words), " "), nil
}

// RevokeToken ends one of the caller's tokens.
func (p *People) RevokeToken(ctx context.Context, c Caller, id string) (control.Token, error) {
	if err := c.may(true); err != nil {
		return control.Token{}, err
	}
	t, err := p.store.RevokeAPIToken(c.acting(ctx), c.UserID, id)
	return p.tokenInfo(t), hide(err, "API token")
}

// Token finds the person that an API token (nxt_…) belongs to. An unknown, expired or
// revoked token is mesh.Denied with control.ReasonToken.
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
	return Caller{UserID: u.ID, Email: u.Email, Name: u.Name, Via: ViaToken, Session: t.ID, Scopes: strings.Fields(t.Scopes), From: from, Expires: t.Expires}, nil
}
