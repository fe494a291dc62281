// Package txn runs the store's transactions over an engine. It owns what they have
// in common: the lock and the counters of an organization, the audit, the one time
// of a transaction, and the errors of the database.
//
//	DB.Read ──▶ engine.Queryer                       sees one moment
//	DB.Write ─▶ Tx ── Lock ─▶ Org                    the whole database, or some organizations
//	DB.Update ───────────────▶ Org                   one organization
//	                            │ Exec, ExecMap, Audit
//	                            ▼
//	            counters + 1 ─▶ commit ─▶ OnCommit
//
// The order of revisions is the order of commits, because the counter rises in the
// transaction of the change and under the lock of the organization's row. A
// sequence would not do: a reader that saw the highest number would miss a lower
// one that commits later.
package txn
