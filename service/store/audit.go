package store

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"nexd/mesh"
	"nexd/service/store/engine"
)

type actorKey struct{}

// WithActor says on whose behalf changes with this context are made. Every change
// writes an audit row in its own transaction; without an actor it names "service".
func WithActor(ctx context.Context, a Actor) context.Context {
	return context.WithValue(ctx, actorKey{}, a)
}

func actorOf(ctx context.Context) Actor {
	a, ok := ctx.Value(actorKey{}).(Actor)
	if !ok {
		a = Actor{Name: "service", Via: "service"}
	}
	return a
}

// audit notes a change of the organization. before and after are encoded as JSON;
// nil is nothing. They must hold no secret.
func (t *Tx) audit(ctx context.Context, action, target string, before, after any) error {
	return writeAudit(ctx, t.tx, t.org.ID, t.now, action, target, before, after)
}

// auditNode is audit for what a node does about itself, unless somebody else is
// named.
func (t *Tx) auditNode(ctx context.Context, name, action, target string, before, after any) error {
	if a := actorOf(ctx); a.UserID == "" && a.Via == "node" {
		a.Name = "node " + name
		ctx = WithActor(ctx, a)
	}
	return t.audit(ctx, action, target, before, after)
}

func writeAudit(ctx context.Context, tx engine.Tx, org mesh.OrgID, now time.Time, action, target string, before, after any) error {
	was, err := auditText(before)
	if err != nil {
		return err
	}
	became, err := auditText(after)
	if err != nil {
		return err
	}
	a := actorOf(ctx)
	_, err = tx.Exec(ctx, `INSERT INTO audit (org, id, at, user_id, actor, via, token, addr, action, target, was, became)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)`,
		org, newAuditID(now), fromTime(now), a.UserID, a.Name, a.Via, a.Token, ipText(a.From), action, target, was, became)
	return err
}

// newAuditID sorts by time, and is unique within a microsecond.
func newAuditID(now time.Time) string {
	return fmt.Sprintf("%014x%s", fromTime(now), strings.ToLower(rand.Text()[:10]))
}

func auditText(v any) (string, error) {
	if v == nil {
		return "", nil
	}
	b, err := json.Marshal(v)
	return string(b), err
}

func ipText(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

func parseIP(s string) (netip.Addr, error) {
	if s == "" {
		return netip.Addr{}, nil
	}
	return netip.ParseAddr(s)
}

func scanAudit(scan func(...any) error) (e AuditEntry, err error) {
	var at int64
	var addr string
	err = scan(&e.Org, &e.ID, &at, &e.Actor.UserID, &e.Actor.Name, &e.Actor.Via, &e.Actor.Token, &addr, &e.Action, &e.Target, &e.Before, &e.After)
	if err != nil {
		return e, err
	}
	e.Time = toTime(at)
	e.Actor.From, err = parseIP(addr)
	return e, err
}

// lastAuditID is behind every ID.
const lastAuditID = "z"

// Audit lists what happened in an organization, newest first: at most limit
// entries older than the one with the ID before ("" = from the newest).
func (s *Store) Audit(ctx context.Context, org mesh.OrgID, before string, limit int) (es []AuditEntry, err error) {
	if before == "" {
		before = lastAuditID
	}
	err = s.read(ctx, "read audit", func(q engine.Queryer) error {
		es, err = collect(ctx, q, scanAudit, `SELECT org, id, at, user_id, actor, via, token, addr, action, target, was, became
			FROM audit WHERE org = $1 AND id < $2 ORDER BY id DESC LIMIT $3`, org, before, limit)
		return err
	})
	return es, err
}

// PersonAudit is Audit for what happened to one person's account and API tokens,
// which belong to no organization; email is the person's address.
func (s *Store) PersonAudit(ctx context.Context, email, before string, limit int) (es []AuditEntry, err error) {
	if before == "" {
		before = lastAuditID
	}
	err = s.read(ctx, "read audit of a person", func(q engine.Queryer) error {
		es, err = collect(ctx, q, scanAudit, `SELECT org, id, at, user_id, actor, via, token, addr, action, target, was, became
			FROM audit WHERE org = $1 AND target = $2 AND id < $3 ORDER BY id DESC LIMIT $4`, "", email, before, limit)
		return err
	})
	return es, err
}
