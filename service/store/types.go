package store

import (
	"context"

	"nexd/service/store/accounts"
	"nexd/service/store/nodes"
	"nexd/service/store/txn"
)

// What the two parts have in common.
type (
	Organization = txn.Organization
	Actor        = txn.Actor
)

// Organizations and nodes.
type (
	DeviceLogin     = nodes.DeviceLogin
	KeyParams       = nodes.KeyParams
	Node            = nodes.Node
	Registered      = nodes.Registered
	Registration    = nodes.Registration
	RegistrationKey = nodes.RegistrationKey
	Revs            = nodes.Revs
	Session         = nodes.Session
	Snapshot        = nodes.Snapshot
	Tx              = nodes.Tx
)

// People.
type (
	APIToken   = accounts.APIToken
	AuditEntry = accounts.AuditEntry
	Invitation = accounts.Invitation
	Member     = accounts.Member
	Membership = accounts.Membership
	NewPerson  = accounts.NewPerson
	User       = accounts.User
	WebSession = accounts.WebSession
)

// Bounds and words of nodes.
const (
	KeyPrefix       = nodes.KeyPrefix
	MaxDeviceLogins = nodes.MaxDeviceLogins
	MaxEndpoints    = nodes.MaxEndpoints
	ReplaceAfter    = nodes.ReplaceAfter

	DevicePending  = nodes.DevicePending
	DeviceApproved = nodes.DeviceApproved
	DeviceDenied   = nodes.DeviceDenied
	DeviceUsed     = nodes.DeviceUsed
)

// Reasons of errors of Register.
var (
	ErrReplaced = nodes.ErrReplaced
	ErrHeld     = nodes.ErrHeld
)

// ErrDatabase is in the chain of every error that comes from the database itself,
// because it is locked, full, read-only, damaged or too slow, rather than from what
// the caller asked for.
var ErrDatabase = txn.ErrDatabase

// WithActor says on whose behalf changes with this context are made. Every change
// writes an audit row in its own transaction; without an actor it names "service".
func WithActor(ctx context.Context, a Actor) context.Context { return txn.WithActor(ctx, a) }

// OwnName is the name of a person's own organization unless they choose another:
// "default" for the first person, then the local part of the e-mail address.
func OwnName(first bool, email string) string { return accounts.OwnName(first, email) }
