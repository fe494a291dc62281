package web

import (
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"

	"nexd/control"
	"nexd/mesh"
	"nexd/service/people"
)

// visit is one request by a person.
type visit struct {
	from   netip.Addr
	caller *people.Caller         // nil = not signed in
	orgs   []control.Organization // of the caller; the default one first
	org    control.Organization   // of the page; zero = none
	stale  bool                   // the form belongs to another session or to none: do nothing
}

// page answers a visit or returns an error.
type page func(http.ResponseWriter, *http.Request, *visit) error

// access is who may open a page.
type access int

const (
	anybody    access = iota
	signedIn          // others sign in first and come back
	member            // of the organization in the path
	signingIn         // a signed-in visitor goes on, whatever the form holds
	signingOut        // a signed-out visitor goes on
)

// visit finds the visitor, checks the form, and shows the page.
func (w *Web) visit(p page, need access) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		v := &visit{from: w.addr(r)}
		err := w.admit(rw, r, v, need)
		if err == nil {
			err = p(rw, r, v)
		}
		if err != nil {
			w.fail(rw, r, v, err)
		}
	})
}

// errSignIn sends a visitor to sign in first.
var errSignIn = mesh.Errorf(mesh.Denied, "web: sign in first")

func (w *Web) admit(rw http.ResponseWriter, r *http.Request, v *visit, need access) error {
	if cookie := w.cookie(r, cookieSession); cookie != "" {
		c, err := w.people.Session(r.Context(), cookie, v.from)
		switch {
		case err == nil:
			v.caller = &c
		case mesh.KindOf(err) == mesh.Denied || mesh.KindOf(err) == mesh.NotFound:
			w.dropCookie(rw, cookieSession)
		default:
			return err
		}
	}
	if v.caller == nil && (need == signedIn || need == member) {
		return errSignIn
	}
	if need == signingOut && v.caller == nil {
		return nil // the session has already ended; there is nothing to protect
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		err := w.checkForm(rw, r, v)
		if err == errStale && need == signingIn {
			v.stale = true // a second click, the back button, or a page that stayed open over night
			err = nil
		}
		if err != nil {
			return err
		}
	}
	if v.caller == nil {
		return nil
	}
	var err error
	if v.orgs, err = w.people.Organizations(r.Context(), *v.caller); err != nil {
		return err
	}
	if need == member {
		v.org, err = w.people.Organization(r.Context(), *v.caller, r.PathValue("org"))
	}
	return err
}

// manages reports whether the visitor may change the organization of the page. It only
// decides which buttons are shown.
func (v *visit) manages() bool { return v.org.Role.Manages() }

// sees reports whether the visitor may see keys, invitations and the audit.
func (v *visit) sees() bool { return v.org.Role.Inspects() }

// statusOf is the HTTP status of an error's kind.
var statusOf = map[mesh.Kind]int{
	mesh.Invalid: http.StatusBadRequest, mesh.NotFound: http.StatusNotFound, mesh.Conflict: http.StatusConflict,
	mesh.Exhausted: http.StatusTooManyRequests, mesh.Denied: http.StatusForbidden, mesh.Unavailable: http.StatusServiceUnavailable,
}

// fail shows an error as a page. The text of an internal error goes to the log only.
func (w *Web) fail(rw http.ResponseWriter, r *http.Request, v *visit, err error) {
	if err == errSignIn || control.ReasonOf(err) == control.ReasonSession {
		to := "/login"
		if r.Method == http.MethodGet {
			to += "?next=" + url.QueryEscape(r.URL.RequestURI())
		}
		redirect(rw, r, to)
		return
	}
	status, title := http.StatusInternalServerError, "Something went wrong here"
	switch kind := mesh.KindOf(err); kind {
	case mesh.NotFound:
		title = "Page not found"
	case mesh.Denied:
		title = "Not allowed"
	case mesh.Exhausted:
		title = "Too many attempts"
	case mesh.Unavailable:
		title = "Temporarily unavailable"
	case mesh.Internal:
	default:
		title = "That did not work"
	}
	if s, ok := statusOf[mesh.KindOf(err)]; ok {
		status = s
	} else if r.Context().Err() == nil {
		w.log.Error("page failed", "pattern", r.Pattern, "err", err)
	}
	if wait := control.RetryAfter(err); wait > 0 {
		rw.Header().Set("Retry-After", seconds(wait))
	}
	w.show(rw, r, v, status, "error", shown{Title: title, Solo: true, Data: sentence(err)})
}

// sentence is the text of an error as a sentence: without the package, with a capital
// and a full stop. It hides the text of an internal error.
func sentence(err error) string {
	kind := mesh.KindOf(err)
	text := err.Error()
	if kind == mesh.Internal {
		return "The service could not complete this. Its log has the reason."
	}
	if (kind == mesh.Unavailable || kind == mesh.Exhausted) && strings.HasPrefix(text, "store: ") {
		return "The service cannot use its database right now. Try again in a moment."
	}
	if pkg, rest, ok := strings.Cut(text, ": "); ok && isWord(pkg) {
		text = rest
	}
	r, n := utf8.DecodeRuneInString(text)
	text = string(unicode.ToUpper(r)) + text[n:]
	if !strings.HasSuffix(text, ".") && !strings.HasSuffix(text, "?") {
		text += "."
	}
	return text
}

func isWord(s string) bool {
	return s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz") == ""
}
