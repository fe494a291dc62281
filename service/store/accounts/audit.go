package accounts

import (
	"context"
	"nexd/mesh"
	"nexd/service/store/column"
	"nexd/service/store/engine"
	"nexd/service/store/txn"
	"time"
)

// AuditEntry is one change.
type AuditEntry struct {
	Org    mesh.OrgID // empty: about a person, not an organization
	ID     string     // sorts by time
	Time   time.Time
	Actor  txn.Actor
	Action string // for example key.create
	Target string // what was changed, in words
	Before string // JSON; may be empty
	After  string // JSON; may be empty
}

const auditColumns = `org, id, at, user_id, actor, via, token, addr, action, target, was, became`

func scanAudit(scan txn.Scan) (e AuditEntry, err error) {
	var at int64
	var addr string
	err = scan(&e.Org, &e.ID, &at, &e.Actor.UserID, &e.Actor.Name, &e.Actor.Via, &e.Actor.Token, &addr, &e.Action, &e.Target, &e.Before, &e.After)
	if err != nil {
		return e, err
	}
	e.Time = column.ParseTime(at)
	e.Actor.From, err = column.ParseIP(addr)
	return e, err
}

// lastAuditID sorts after every ID.
const lastAuditID = "z"

// Audit lists what happened in an organization, newest first: at most limit entries
// that are older than the entry with the ID before. An empty before starts with the
// newest.
func (s *Store) Audit(ctx context.Context, org mesh.OrgID, before string, limit int) (es []AuditEntry, err error) {
	if before == "" {
		before = lastAuditID
	}
	err = s.db.Read(ctx, "read audit", func(q engine.Queryer) error {
		es, err = txn.Collect(ctx, q, scanAudit, `SELECT `+auditColumns+`
			FROM audit WHERE org = $1 AND id < $2 ORDER BY id DESC LIMIT $3`, org, before, limit)
		return err
	})
	return es, err
}

// PersonAudit is Audit for what happened to one person's account and API tokens,
// which belong to no organization. email is the person's address.
func (s *Store) PersonAudit(ctx context.Context, email, before string, limit int) (es []AuditEntry, err error) {
	if before == "" {
		before = lastAuditID
	}
	err = s.db.Read(ctx, "read audit of a person", func(q engine.Queryer) error {
		es, err = txn.Collect(ctx, q, scanAudit, `SELECT `+auditColumns+`
			FROM audit WHERE org = $1 AND target = $2 AND id < $3 ORDER BY id DESC LIMIT $4`, "", email, before, limit)
		return err
	})
	return es, err
}
