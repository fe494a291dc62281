// Package people decides who may do what: sign-in, organizations and roles,
// invitations, the approval of nodes, API tokens, and the audit of all that.
//
//	service (JSON, bearer tokens) ─┐               ┌─ role of the caller in the organization
//	                               ├─▶ People ─────┤  the change            } one transaction
//	service/web (pages, cookies)  ─┘   a Caller    └─ the audit row         }
//
// The API and the pages call the same methods with a Caller, which says who acts, how
// and from where. The answers have the types of the administrators' API in package
// control. People looks the role up for each call, so that a change of the role applies
// at once; mesh.Role holds the rules. A thing that the caller may not see is answered
// like one that does not exist (mesh.NotFound with the same text); a thing that the
// caller sees but may not change is mesh.Denied with control.ReasonRole. The last owner
// of an organization stays its owner.
//
// Secrets (cookies, tokens, links, codes) are random, stored as hashes and shown once.
// Passwords are hashed with argon2id. Guessing is slowed down per account, per person
// and per address.
//
// The package contains no HTTP, no cookies and no templates, and does not decide which
// addresses and prefixes a node gets (ipam).
package people
