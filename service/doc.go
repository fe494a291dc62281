// Package service is the control plane that nodes register with and watch: the
// HTTP side of package control's protocol over package service/store.
//
//	agent ──▶ limit ─▶ log ─▶ ServeMux ─┬─▶ huma operations ──▶ store (ipam rules inside)
//	nexd admin                          ├─▶ huma operations ──▶ people (roles) ──▶ store
//	                                    ├─▶ watch ◀── hub ◀── polls org → rev
//	browser                             └─▶ Config.Pages
//
// A request's way: the caller's address is the connection's (or a trusted
// proxy's word), challenge and proof calls are rate limited by it, the operation
// checks proof or session, and the store does the rest in one transaction. Any
// number of services may share a database: the only state here is who watches.
//
// The hub asks the database what changed, at most 300 ms apart, so that changes
// made by other replicas and by commands are seen too; a Bell rung on commit only
// shortens the wait. It keeps one immutable frame per organization; every watcher
// writes from the newest one at its own pace and skips what it was too slow for.
//
// The package does not decide who gets which address or prefix (ipam), keeps no
// rows (store), shows no web pages and forwards no packets.
package service
