package people

import (
	"context"
	"time"

	"nexd/control"
	"nexd/service/store"
)

// KeyInfo is a registration key as its administrators see it now.
func KeyInfo(k store.RegistrationKey, now time.Time) control.Key {
	return control.Key{ID: k.ID, Prefix: k.Prefix, Description: k.Description, State: k.State(now), Reusable: k.Reusable,
		UsesLeft: k.UsesLeft, Replace: k.Replaces, Used: k.Used, Expires: k.Expires, Created: k.Created, LastUsed: k.LastUsed}
}

func (p *People) keyInfo(k store.RegistrationKey) control.Key { return KeyInfo(k, p.now()) }

// Keys lists the registration keys of an organization, newest first.
func (p *People) Keys(ctx context.Context, c Caller, org string) ([]control.Key, error) {
	_, o, err := p.enter(ctx, c, org, toInspect)
	if err != nil {
		return nil, err
	}
	ks, err := p.store.Keys(ctx, o.ID)
	return each(ks, p.keyInfo), err
}

// CreateKey makes a registration key. The result alone carries its text, which has
// the service's pin at its end.
func (p *People) CreateKey(ctx context.Context, c Caller, org string, want control.NewKey) (control.Key, error) {
	ctx, o, err := p.enter(ctx, c, org, toManage)
	if err != nil {
		return control.Key{}, err
	}
	k, secret, err := p.store.CreateKey(ctx, o.ID, store.KeyParams{Description: want.Description, Uses: want.Uses, Lifetime: lifetime(want.ExpiresIn), Replaces: want.Replace})
	if err != nil {
		return control.Key{}, err
	}
	key, err := control.ParseRegKey(secret)
	out := p.keyInfo(k)
	out.Text = key.WithPin(p.cfg.Pin).Text()
	return out, err
}

// RevokeKey ends a key, named by its ID or its first characters.
func (p *People) RevokeKey(ctx context.Context, c Caller, org, key string) (control.Key, error) {
	ctx, o, err := p.enter(ctx, c, org, toManage)
	if err != nil {
		return control.Key{}, err
	}
	k, err := p.store.RevokeKey(ctx, o.ID, key)
	return p.keyInfo(k), hide(err, "registration key")
}
