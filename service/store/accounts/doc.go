// Package accounts is the part of the store about people: users and the identities
// of a provider, web sessions, API tokens, memberships with their roles, invitations,
// the set-up link, and the reading side of the audit.
//
// It stores password hashes and never sees a password. Package people decides who may
// do what; this package keeps only the rules that must hold in the database, for
// example that an organization keeps an owner.
package accounts
