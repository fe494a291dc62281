// Package admin holds the commands of nexd admin, which administer a service through its
// API from any host: organizations, members, invitations, registration keys, nodes,
// prefixes, API tokens and the audit log.
package admin
