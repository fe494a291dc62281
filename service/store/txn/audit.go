package txn

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"nexd/mesh"
	"nexd/service/store/column"
)

// Actor is who makes a change, for the audit.
type Actor struct {
	UserID string // empty: not a person
	Name   string // e-mail address, "node NAME" or "nexservice command"
	Via    string // web, token, node or command
	Token  string // ID of the API token, if one was used
	From   netip.Addr
}

type actorKey struct{}

// WithActor says on whose behalf changes with this context are made. Every change
// writes an audit row in its own transaction; without an actor it names "service".
func WithActor(ctx context.Context, a Actor) context.Context {
	return context.WithValue(ctx, actorKey{}, a)
}

// ActorOf is the actor of a context.
func ActorOf(ctx context.Context) Actor {
	a, ok := ctx.Value(actorKey{}).(Actor)
	if !ok {
		a = Actor{Name: "service", Via: "service"}
	}
	return a
}

// Audit writes an audit row of the organization. before and after are encoded as
// JSON; nil stands for nothing. They must hold no secret.
func (o *Org) Audit(ctx context.Context, action, target string, before, after any) error {
	return o.AuditOrg(ctx, o.ID, action, target, before, after)
}

// AuditPerson is Audit for a change of a person's account, which belongs to no
// organization. email is the person's address.
func (tx *Tx) AuditPerson(ctx context.Context, action, email string, before, after any) error {
	return tx.AuditOrg(ctx, "", action, email, before, after)
}

// AuditOrg is Audit for an organization that the transaction has made.
func (tx *Tx) AuditOrg(ctx context.Context, org mesh.OrgID, action, target string, before, after any) error {
	was, err := auditText(before)
	if err != nil {
		return err
	}
	became, err := auditText(after)
	if err != nil {
		return err
	}
	a := ActorOf(ctx)
	_, err = tx.Exec(ctx, `INSERT INTO audit (org, id, at, user_id, actor, via, token, addr, action, target, was, became)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)`,
		org, newAuditID(tx.Now), column.Time(tx.Now), a.UserID, a.Name, a.Via, a.Token, column.IP(a.From), action, target, was, became)
	return err
}

// newAuditID sorts by time, and is unique within a microsecond.
func newAuditID(now time.Time) string {
	return fmt.Sprintf("%014x%s", column.Time(now), strings.ToLower(rand.Text()[:10]))
}

func auditText(v any) (string, error) {
	if v == nil {
		return "", nil
	}
	b, err := json.Marshal(v)
	return string(b), err
}
