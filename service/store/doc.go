// Package store keeps what the service knows: people, organizations,
// registration keys, nodes with their addresses, prefixes and endpoints, and
// sessions. It is SQLite in one file today; every statement is written so that
// PostgreSQL takes it too, and storetest is the contract that any database has
// to pass.
//
//	meta                      epoch, database secret, TLS key (one row each)
//	users ─┬─ identities, web_sessions, api_tokens   budgets (limits that replicas share)
//	       └─ memberships ─┐
//	                       organizations (rev: the network map's revision)
//	                       ├── endpoint_revs        (own counter, own row)
//	                       ├── registration_keys, invitations, audit
//	                       ├── device_logins        (org empty until a person answered)
//	                       └── nodes ─┬─ node_addresses (held | resting)
//	                                  ├─ prefixes       (held, advertised or not)
//	                                  ├─ endpoints
//	                                  └─ sessions
//
// Every row and every statement starts with the organization. Some look-ups have
// to find it first: by the hash of a registration key, session token, invitation
// or device code, or by a node's public key; all are unique over the database.
//
// Every change writes an audit row in its own transaction; WithActor says on whose
// behalf.
//
// All changes of an organization go through Update, which locks its row, runs
// the change and, if the network map shows it, raises rev in that transaction:
// the order of revisions is the order of commits. Endpoints and last-seen marks
// go another way and raise the endpoint counter at most.
//
// A Store may share its file with other processes: commands work beside a
// running service, which sees their changes by Revs. Store does not notify,
// does not check passwords and decides no policy; what may be allocated to whom
// is said by package ipam, whose Ledger is Tx.
package store
