// Package web is the pages of the service: what a person sees in a browser.
//
//	browser ─▶ headers ─▶ same-origin check ─▶ mux ─▶ visit: cookie → Caller ─▶ page ─▶ service/people
//	                                                  form token (POST)           │
//	                                                                              └─▶ html/template
//
// The server renders every page, and every page works without a script; static/app.js
// adds copy buttons and reloads a page that waits for a node. A POST answers with a
// redirect or with a secret that is shown only once. A page of its own asks for
// confirmation before anything is destroyed.
//
// URLs that leave a page (links of invitations, the redirect URL of the identity
// provider, commands to copy) are made from Config.PublicURL, never from the headers of
// a request. Redirects go to local paths only.
//
// The package decides nothing: service/people decides who may do what, and a hidden
// button is only a courtesy. It keeps no state, so any replica answers any request.
//
// Size: many small pages, a file for each, share the visit, the guard and the frame.
package web
