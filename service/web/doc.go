// Package web is the service's pages: what a person sees in a browser.
//
//	browser ─▶ headers ─▶ same-origin check ─▶ mux ─▶ visit: cookie → Caller ─▶ page ─▶ Backend (service/people)
//	                                                  form token (POST)           │
//	                                                                              └─▶ html/template
//
// Everything is rendered here and works without script; static/app.js adds copy
// buttons and looks again while a node is awaited. A POST either answers with a
// redirect, or with a secret that is shown this once. What destroys something asks
// first, on a page of its own.
//
// Addresses that leave a page (links in invitations, the identity provider's way
// back, commands to copy) are made from Config.PublicURL, never from what a request
// says of itself. Redirects go to local paths only.
//
// The package decides nothing: who may do what is for service/people to say, and a
// button that is not shown is only a courtesy. It keeps no state of its own, so any
// replica answers any request.
package web
