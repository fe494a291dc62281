package people

import (
	"context"

	"nexd/control"
	"nexd/mesh"
	"nexd/service/store"
)

// AuditPage is the number of entries on a page of the audit unless the caller asks
// for another number, of at most mostEntries.
const (
	AuditPage   = 50
	mostEntries = 500
)

func auditInfo(e store.AuditEntry) control.AuditEntry {
	out := control.AuditEntry{ID: e.ID, Time: e.Time, Actor: e.Actor.Name, Via: e.Actor.Via, Action: e.Action, Target: e.Target,
		Before: e.Before, After: e.After, Token: e.Actor.Token}
	if e.Actor.From.IsValid() {
		out.From = e.Actor.From.String()
	}
	return out
}

// Audit is a page of the audit of an organization, newest entry first: at most limit
// entries (0 = AuditPage) that are older than the entry before ("" = from the newest).
func (p *People) Audit(ctx context.Context, c Caller, org, before string, limit int) (control.AuditList, error) {
	_, o, err := p.enter(ctx, c, org, toInspect)
	if err != nil {
		return control.AuditList{}, err
	}
	return auditPage(before, limit, func(limit int) ([]store.AuditEntry, error) {
		return p.store.Audit(ctx, o.ID, before, limit)
	})
}

// OwnAudit is a page, as of Audit, about the caller's account and API tokens, which
// belong to no organization.
func (p *People) OwnAudit(ctx context.Context, c Caller, before string, limit int) (control.AuditList, error) {
	if err := c.may(false); err != nil {
		return control.AuditList{}, err
	}
	return auditPage(before, limit, func(limit int) ([]store.AuditEntry, error) {
		return p.store.PersonAudit(ctx, c.Email, before, limit)
	})
}

// auditPage reads a page. It reads one entry more than it shows, so that Next is set
// only if an older entry exists.
func auditPage(before string, limit int, read func(limit int) ([]store.AuditEntry, error)) (page control.AuditList, err error) {
	switch {
	case limit < 0 || limit > mostEntries:
		return page, mesh.Errorf(mesh.Invalid, "people: a page has 1 to %d entries, not %d", mostEntries, limit)
	case len(before) > mostSecret:
		return page, mesh.Errorf(mesh.Invalid, "people: before is not the ID of an entry")
	case limit == 0:
		limit = AuditPage
	}
	es, err := read(limit + 1)
	if err != nil {
		return page, err
	}
	if len(es) > limit {
		es = es[:limit]
		page.Next = es[limit-1].ID
	}
	page.Entries = each(es, auditInfo)
	return page, nil
}
