// Package store keeps what the service knows: people, organizations, registration
// keys, nodes with their addresses, prefixes and endpoints, and sessions. It opens the
// database and is the one front to its parts:
//
//	     store              Open, the service's own facts, budgets
//	  ┌────┴─────┐
//	nodes     accounts      organizations and nodes │ people and their roles
//	  └────┬─────┘
//	      txn               transactions, organization lock, counters, audit
//	    engine              the seam to a database      column: value encodings
//	      │
//	    sqlite              the engine over one file    migrations: the schema
//
// The tables:
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
// Every row and every statement starts with the organization. Some look-ups have to
// find the organization first: by the hash of a registration key, session token,
// invitation or device code, or by a node's public key. All of these are unique in
// the whole database.
//
// Every change writes an audit row in its own transaction; WithActor says on whose
// behalf.
//
// Every change of an organization locks its row, and raises its revision in the same
// transaction if the network map shows the change: the order of revisions is the
// order of commits. Endpoints have a counter of their own. Last-seen marks raise no
// counter.
//
// Other processes may change the same database: commands work beside a running
// service, which sees their changes by Revs. The store does not check passwords and
// decides no policy. Package ipam decides what may be allocated to whom; Tx is its
// Ledger.
package store
