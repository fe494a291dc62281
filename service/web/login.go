package web

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"nexd/mesh"
	"nexd/service/people"
)

// loginData is the data of the sign-in page.
type loginData struct {
	Email     string
	Next      string
	Device    bool // the visitor followed the link of a waiting node
	Providers []*provider
}

func (w *Web) loginForm(rw http.ResponseWriter, r *http.Request, v *visit) error {
	next := localPath(r.URL.Query().Get("next"))
	if v.caller != nil {
		return redirect(rw, r, next)
	}
	first, err := w.people.FirstRun(r.Context())
	if err != nil {
		return err
	}
	if first {
		return redirect(rw, r, "/setup")
	}
	return w.showLogin(rw, r, v, http.StatusOK, loginData{Next: next})
}

func (w *Web) showLogin(rw http.ResponseWriter, r *http.Request, v *visit, status int, d loginData, bad ...wrong) error {
	d.Device, d.Providers = strings.HasPrefix(d.Next, "/device"), w.providers
	return w.show(rw, r, v, status, "login", shown{Title: "Sign in", Solo: true, Wrong: bad, Data: d})
}

func (w *Web) login(rw http.ResponseWriter, r *http.Request, v *visit) error {
	d := loginData{Email: strings.TrimSpace(r.PostForm.Get("email")), Next: localPath(r.PostForm.Get("next"))}
	if v.stale && v.caller != nil {
		return redirect(rw, r, d.Next)
	}
	if v.stale {
		return w.showLogin(rw, r, v, http.StatusForbidden, d, wrong{"password", "This page had expired, so you were not signed in. Enter your password again."})
	}
	password := r.PostForm.Get("password")
	var bad []wrong
	if d.Email == "" {
		bad = append(bad, wrong{"email", "Enter your e-mail address."})
	}
	if password == "" {
		bad = append(bad, wrong{"password", "Enter your password."})
	}
	if bad != nil {
		return w.showLogin(rw, r, v, http.StatusBadRequest, d, bad...)
	}
	s, err := w.people.Login(r.Context(), d.Email, password, v.from)
	if problem, ok := asWrong(err, ""); ok {
		return w.showLogin(rw, r, v, statusOf[mesh.KindOf(err)], d, problem)
	}
	if err != nil {
		return err
	}
	w.open(rw, r, s)
	return redirect(rw, r, d.Next)
}

// asWrong turns an error that the visitor can correct into a message at a form.
func asWrong(err error, field string) (wrong, bool) {
	if err == nil {
		return wrong{}, false
	}
	switch mesh.KindOf(err) {
	case mesh.Invalid, mesh.Denied, mesh.Conflict, mesh.Exhausted, mesh.NotFound:
		return wrong{field, sentence(err)}, true
	}
	return wrong{}, false
}

func (w *Web) logout(rw http.ResponseWriter, r *http.Request, v *visit) error {
	if cookie := w.cookie(r, cookieSession); cookie != "" {
		if err := w.people.Logout(background(r), cookie); err != nil {
			return err
		}
	}
	w.dropCookie(rw, cookieSession)
	w.setFlash(rw, "good", "You are signed out.")
	return redirect(rw, r, "/login")
}

// accountForm is the part that the forms of set-up and sign-up share.
type accountForm struct {
	Email, Name, Token string
	Fixed              bool // the invitation is for this address only
}

func readAccount(f url.Values) (a accountForm, password string, bad []wrong) {
	a = accountForm{Email: strings.TrimSpace(f.Get("email")), Name: strings.TrimSpace(f.Get("name"))}
	if !strings.Contains(a.Email, "@") {
		bad = append(bad, wrong{"email", "Enter an e-mail address, such as ada@example.org."})
	}
	return a, f.Get("password"), append(bad, checkPassword(f)...)
}

// checkPassword checks a new password, which a form asks for twice.
func checkPassword(f url.Values) []wrong {
	password := f.Get("password")
	if len(password) < people.MinPassword {
		return []wrong{{"password", fmt.Sprintf("Choose a password of at least %d characters.", people.MinPassword)}}
	}
	if f.Get("again") != password {
		return []wrong{{"again", "The two passwords differ."}}
	}
	return nil
}
