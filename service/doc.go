// Package service is the control plane that nodes register with and watch: the
// HTTP side of package control's protocol over package service/store.
//
//	agent ──▶ limit ─▶ log ─▶ ServeMux ─┬─▶ huma operations ──▶ store (ipam rules inside)
//	nexd admin                          ├─▶ huma operations ──▶ people (roles) ──▶ store
//	                                    ├─▶ watch ◀── service/hub ◀── store: what changed
//	browser                             └─▶ Config.Pages
//
// A request's way: the caller's address is the connection's (or a trusted
// proxy's word), challenge and proof calls are rate limited by it, the operation
// checks proof or session, and the store does the rest in one transaction. Any
// number of services may share a database: the only state here is who watches.
//
// A watch stream writes the newest frame that service/hub has of the organization, at
// its own pace.
//
// The package does not decide who gets which address or prefix (ipam) nor who may do
// what (service/people), keeps no rows (service/store), shows no pages (service/web)
// and forwards no packets (service/relayserver).
package service
