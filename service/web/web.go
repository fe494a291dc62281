package web

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"nexd/control"
	"nexd/mesh"
	"nexd/service/people"
)

// Config is what the pages need.
type Config struct {
	People     *people.People
	PublicURL  string                         // scheme and host of the service for people and nodes
	JoinURL    string                         // PublicURL with its pin, for nodes; empty = PublicURL
	Providers  []Provider                     // identity providers for sign-in
	ClientAddr func(*http.Request) netip.Addr // the address of the client; nil = the other end of the connection
	Logger     *slog.Logger                   // nil = discard
	Now        func() time.Time               // nil = time.Now
}

// Web is the pages as an HTTP handler. Make it with New; it starts no goroutine.
type Web struct {
	people    *people.People
	base      *url.URL
	join      string
	secure    bool // cookies only over TLS
	providers []*provider
	client    *http.Client // for requests to providers
	addr      func(*http.Request) netip.Addr
	log       *slog.Logger
	now       func() time.Time
	pages     *pages
	handler   http.Handler
}

// New makes the pages.
func New(cfg Config) (*Web, error) {
	if cfg.People == nil {
		return nil, mesh.Errorf(mesh.Invalid, "web: no people")
	}
	base, err := url.Parse(cfg.PublicURL)
	if err != nil || base.Host == "" || base.Scheme != "https" && base.Scheme != "http" {
		return nil, mesh.Errorf(mesh.Invalid, "web: public URL %q is not of the form https://HOST", cfg.PublicURL)
	}
	w := &Web{
		people: cfg.People, base: &url.URL{Scheme: base.Scheme, Host: base.Host}, join: cfg.JoinURL,
		secure: base.Scheme == "https", client: &http.Client{Timeout: askTimeout}, addr: cfg.ClientAddr, log: cfg.Logger, now: cfg.Now,
	}
	if w.join == "" {
		w.join = w.base.String()
	}
	if w.addr == nil {
		w.addr = remoteAddr
	}
	if w.log == nil {
		w.log = slog.New(slog.DiscardHandler)
	}
	if w.now == nil {
		w.now = time.Now
	}
	for _, p := range cfg.Providers {
		if err := p.check(w.providers); err != nil {
			return nil, err
		}
		w.providers = append(w.providers, &provider{Provider: p, callback: w.base.String() + "/login/oidc/" + p.ID + "/callback"})
	}
	if w.pages, err = loadPages(w.now); err != nil {
		return nil, fmt.Errorf("web: templates: %w", err)
	}
	if w.handler, err = w.protected(w.routes()); err != nil {
		return nil, err
	}
	return w, nil
}

// ServeHTTP serves every path outside of the API.
func (w *Web) ServeHTTP(rw http.ResponseWriter, r *http.Request) { w.handler.ServeHTTP(rw, r) }

func remoteAddr(r *http.Request) netip.Addr {
	ap, _ := netip.ParseAddrPort(r.RemoteAddr)
	return ap.Addr().Unmap().WithZone("")
}

// routes maps paths to pages. In a path, {org} is the name or ID of an organization.
func (w *Web) routes() *http.ServeMux {
	mux := http.NewServeMux()
	mux.Handle("GET /static/{file}", w.pages.static())
	open := func(pattern string, h page) { mux.Handle(pattern, w.visit(h, anybody)) }
	in := func(pattern string, h page) { mux.Handle(pattern, w.visit(h, signedIn)) }
	org := func(pattern string, h page) { mux.Handle(pattern, w.visit(h, member)) }

	open("/", w.notFound)
	open("GET /{$}", w.home)
	open("GET /setup", w.setupForm)
	open("POST /setup", w.setup)
	open("GET /login", w.loginForm)
	mux.Handle("POST /login", w.visit(w.login, signingIn))
	open("GET /login/oidc/{provider}", w.oidcStart)
	open("GET /login/oidc/{provider}/callback", w.oidcCallback)
	open("GET /invite/{token}", w.invitation)
	open("POST /invite/{token}", w.signUp)
	open("POST /invite/{token}/accept", w.acceptInvitation)
	mux.Handle("POST /logout", w.visit(w.logout, signingOut))

	in("GET /device", w.device)
	in("POST /device/approve", w.deviceApprove)
	in("POST /device/deny", w.deviceDeny)
	in("GET /account", w.account)
	in("GET /account/audit", w.ownAudit)
	in("POST /account/tokens", w.tokenCreate)
	in("GET /account/tokens/{token}/revoke", w.tokenConfirm)
	in("POST /account/tokens/{token}/revoke", w.tokenRevoke)
	in("POST /account/password", w.passwordSet)
	in("POST /account/sessions/end", w.sessionsEnd)
	in("GET /orgs", w.orgs)
	in("POST /orgs", w.orgCreate)
	in("POST /orgs/default", w.orgDefault)

	org("GET /orgs/{org}", w.orgHome)
	org("GET /orgs/{org}/nodes", w.nodes)
	org("GET /orgs/{org}/nodes/{node}/remove", w.nodeConfirm)
	org("POST /orgs/{org}/nodes/{node}/remove", w.nodeRemove)
	org("GET /orgs/{org}/prefixes", w.prefixes)
	org("GET /orgs/{org}/prefixes/release", w.prefixConfirm)
	org("POST /orgs/{org}/prefixes/release", w.prefixRelease)
	org("GET /orgs/{org}/keys", w.keys)
	org("POST /orgs/{org}/keys", w.keyCreate)
	org("GET /orgs/{org}/keys/{key}/revoke", w.keyConfirm)
	org("POST /orgs/{org}/keys/{key}/revoke", w.keyRevoke)
	org("GET /orgs/{org}/people", w.members)
	org("POST /orgs/{org}/people/{user}/role", w.memberRole)
	org("GET /orgs/{org}/people/{user}/remove", w.memberConfirm)
	org("POST /orgs/{org}/people/{user}/remove", w.memberRemove)
	org("POST /orgs/{org}/invitations", w.invite)
	org("GET /orgs/{org}/invitations/{invitation}/revoke", w.inviteConfirm)
	org("POST /orgs/{org}/invitations/{invitation}/revoke", w.inviteRevoke)
	org("GET /orgs/{org}/audit", w.audit)
	return mux
}

// localPath is where to go after a sign-in: p if it is a path of this service, else "/".
// Text that a browser could read as another host is not a path.
func localPath(p string) string {
	ok := len(p) > 0 && len(p) <= 512 && p[0] == '/' && !strings.HasPrefix(p, "//") && !strings.ContainsAny(p, "\\\r\n\t\x00")
	if ok {
		u, err := url.Parse(p)
		ok = err == nil && u.Scheme == "" && u.Host == "" && u.User == nil
	}
	if !ok || strings.ContainsFunc(p, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return "/"
	}
	return p
}

// home redirects to the nodes of the default organization.
func (w *Web) home(rw http.ResponseWriter, r *http.Request, v *visit) error {
	if v.caller == nil {
		return w.welcome(rw, r, v)
	}
	if len(v.orgs) == 0 {
		return redirect(rw, r, "/orgs")
	}
	return redirect(rw, r, orgPath(v.orgs[0], "nodes"))
}

// welcome redirects a visitor who is not signed in to the sign-in page or the set-up.
func (w *Web) welcome(rw http.ResponseWriter, r *http.Request, v *visit) error {
	first, err := w.people.FirstRun(r.Context())
	if err != nil {
		return err
	}
	if first {
		return redirect(rw, r, "/setup")
	}
	return redirect(rw, r, "/login")
}

func (w *Web) orgHome(rw http.ResponseWriter, r *http.Request, v *visit) error {
	return redirect(rw, r, orgPath(v.org, "nodes"))
}

func (w *Web) notFound(http.ResponseWriter, *http.Request, *visit) error { return errNoPage }

var errNoPage = mesh.Errorf(mesh.NotFound, "web: there is no such page")

// orgPath is the path of an organization's page.
func orgPath(o control.Organization, parts ...string) string {
	p := "/orgs/" + url.PathEscape(o.Name)
	for _, part := range parts {
		p += "/" + url.PathEscape(part)
	}
	return p
}

func redirect(rw http.ResponseWriter, r *http.Request, to string) error {
	rw.Header().Set("Location", to)
	rw.WriteHeader(http.StatusSeeOther)
	return nil
}

// background is the context of work that the end of the request must not cancel.
func background(r *http.Request) context.Context { return context.WithoutCancel(r.Context()) }
