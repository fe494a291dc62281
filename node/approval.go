package node

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"nexd/control"
	"nexd/mesh"
)

// Approval is what a person needs to let a waiting node in.
type Approval struct {
	Link        string    // page with the code filled in
	Page        string    // page that asks for the code
	Code        string    // XXXX-XXXX
	Fingerprint string    // of the node's key; the page shows the same
	Expires     time.Time // of the code
}

// approver asks a person to let this node in, and waits.
type approver struct {
	client interface {
		StartDeviceLogin(context.Context, control.DeviceLoginRequest) (control.DeviceLogin, error)
		PollDeviceLogin(context.Context, control.DeviceLogin) (control.DeviceToken, error)
	}
	key  mesh.Key
	show func(Approval) // nil: nobody is there to be asked
	log  *slog.Logger

	mu      sync.Mutex
	pending *Approval
}

// wait shows a link and a code and returns the approval to register with. A code
// that nobody used is not followed by another one: a node that nobody attends to
// would go on asking strangers, and whoever does attend needs one key press to
// run the command again.
func (a *approver) wait(ctx context.Context, r control.Registration) (string, error) {
	login, err := a.client.StartDeviceLogin(ctx, control.DeviceLoginRequest{
		Hostname: r.Hostname, OS: r.OS, Version: r.Version, Prefixes: r.Prefixes,
	})
	if err != nil {
		return "", err
	}
	shown := Approval{
		Link: login.VerificationURIComplete, Page: login.VerificationURI, Code: login.UserCode,
		Fingerprint: control.Fingerprint(a.key), Expires: time.Now().Add(login.Life()),
	}
	a.set(&shown)
	defer a.set(nil)
	a.log.Info("waiting for approval", "page", shown.Page, "until", shown.Expires.Format(time.RFC3339))
	a.show(shown)
	token, err := a.client.PollDeviceLogin(ctx, login)
	switch control.ReasonOf(err) {
	case control.ReasonAccessDenied:
		return "", mesh.Errorf(mesh.Denied, "node: this node's request to join was denied; nothing was registered: %w", err)
	case control.ReasonExpiredToken:
		return "", mesh.Errorf(mesh.Denied, "node: %w; nothing was registered: %w", ErrCodeExpired, err)
	}
	if err != nil {
		return "", err
	}
	a.log.Info("approved", "organization", token.Organization)
	return login.DeviceCode, nil
}

func (a *approver) set(p *Approval) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.pending = p
}

// waiting is a copy of what is shown now; nil if nobody has to be asked.
func (a *approver) waiting() *Approval {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.pending == nil {
		return nil
	}
	p := *a.pending
	return &p
}
