package node

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"nexd/control"
	"nexd/mesh"
)

// Approval is what a person needs to approve a node that waits.
type Approval struct {
	Link        string    // page with the code filled in
	Page        string    // page that asks for the code
	Code        string    // XXXX-XXXX
	Fingerprint string    // of the node's key; the page shows the same
	Expires     time.Time // of the code
}

// approver asks a person to approve this node, and waits for the answer.
type approver struct {
	client interface {
		StartDeviceLogin(context.Context, control.DeviceLoginRequest) (control.DeviceLogin, error)
		PollDeviceLogin(context.Context, control.DeviceLogin) (control.DeviceToken, error)
	}
	key  mesh.Key
	show func(Approval) // nil: nobody can be asked
	log  *slog.Logger

	mu      sync.Mutex
	pending *Approval
}

// wait shows a link and a code, and returns the approval to register with. When the code
// expires, wait does not ask for another one: an unattended node would go on asking forever, and an
// attended one is quickly started again.
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

// waiting returns a copy of the approval that the node waits for; nil if it waits for none.
func (a *approver) waiting() *Approval {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.pending == nil {
		return nil
	}
	p := *a.pending
	return &p
}
