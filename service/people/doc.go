// Package people is who may do what: signing in, organizations and roles,
// invitations, the approval of nodes, API tokens, and the record of all that.
//
//	service (JSON, bearer tokens) ─┐               ┌─ role of the caller in the organization
//	                               ├─▶ People ─────┤  the change            } one transaction
//	service/web (pages, cookies)  ─┘   a Caller    └─ the audit row         }
//
// Both faces of the service call the same methods with a Caller, which says who
// acts, how and from where; the role is looked up for each call, so a change of it
// holds at once. What a caller may not see is answered as what is not there
// (mesh.NotFound, the same words); what the caller sees but may not do is
// mesh.Denied with control.ReasonRole.
//
// Roles: a member sees nodes, prefixes and people and approves nodes; an auditor
// sees everything and changes nothing; an admin changes everything but owners; an
// owner changes those, too. The last owner stays.
//
// Secrets (cookies, tokens, links, codes) are random, kept as hashes and handed
// out once. Passwords are argon2id. Guessing is slowed down per account, per
// session and per address.
//
// The package knows no HTTP, no cookies and no templates, and does not decide
// which addresses and prefixes a node gets (ipam).
package people
