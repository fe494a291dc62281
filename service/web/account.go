package web

import (
	"net/http"
	"strings"

	"nexd/control"
	"nexd/mesh"
)

type accountData struct {
	Tokens  []control.Token
	Secret  string // of a new token, shown once
	Command string
	Form    tokenForm
}

type tokenForm struct{ Description, Life, Scope string }

func (w *Web) account(rw http.ResponseWriter, r *http.Request, v *visit) error {
	return w.showAccount(rw, r, v, http.StatusOK, accountData{})
}

func (w *Web) showAccount(rw http.ResponseWriter, r *http.Request, v *visit, status int, d accountData, bad ...wrong) error {
	var err error
	if d.Tokens, err = w.people.Tokens(r.Context(), *v.caller); err != nil {
		return err
	}
	if d.Form == (tokenForm{}) {
		d.Form = tokenForm{Life: "month", Scope: "read"}
	}
	return w.show(rw, r, v, status, "account", shown{Title: "Your account", Wrong: bad, Data: d})
}

func (w *Web) tokenCreate(rw http.ResponseWriter, r *http.Request, v *visit) error {
	f := tokenForm{Description: strings.TrimSpace(r.PostForm.Get("description")), Life: r.PostForm.Get("life"), Scope: r.PostForm.Get("scope")}
	var bad []wrong
	if f.Description == "" {
		bad = append(bad, wrong{"description", "Enter what the token is for."})
	}
	life, ok := lives[f.Life]
	if !ok || life == 0 {
		bad = append(bad, wrong{"life", "Choose how long the token is valid."})
	}
	scopes := []string{control.ScopeRead}
	switch f.Scope {
	case "read":
	case "write":
		scopes = append(scopes, control.ScopeWrite)
	default:
		bad = append(bad, wrong{"scope", "Choose what the token may do."})
	}
	if bad != nil {
		return w.showAccount(rw, r, v, http.StatusBadRequest, accountData{Form: f}, bad...)
	}
	t, err := w.people.CreateToken(r.Context(), *v.caller, control.NewToken{Description: f.Description, Scopes: scopes, ExpiresIn: inSeconds(life)})
	if mesh.KindOf(err) == mesh.Invalid {
		return w.showAccount(rw, r, v, http.StatusBadRequest, accountData{Form: f}, wrong{"description", sentence(err)})
	}
	if err != nil {
		return err
	}
	return w.showAccount(rw, r, v, http.StatusOK, accountData{Secret: t.Text, Command: "nexd admin --service-url='" + w.join + "' --token-file=FILE node list"})
}

func (w *Web) tokenConfirm(rw http.ResponseWriter, r *http.Request, v *visit) error {
	list, err := w.people.Tokens(r.Context(), *v.caller)
	if err != nil {
		return err
	}
	for _, t := range list {
		if t.ID == r.PathValue("token") {
			return w.ask(rw, r, v, "", confirm{
				Question: "Revoke the token " + t.Prefix + "…?",
				Facts:    [][2]string{{"Purpose", orDash(t.Description)}, {"Access", strings.Join(t.Scopes, ", ")}, {"Last used", ago(w.now(), t.LastUsed)}},
				Effects:  []string{"Programs that use it are refused from now on."},
				Do:       "Revoke token", Action: "/account/tokens/" + t.ID + "/revoke", Back: "/account",
			})
		}
	}
	return mesh.Errorf(mesh.NotFound, "web: there is no such token")
}

func (w *Web) tokenRevoke(rw http.ResponseWriter, r *http.Request, v *visit) error {
	t, err := w.people.RevokeToken(r.Context(), *v.caller, r.PathValue("token"))
	if err != nil {
		return err
	}
	w.setFlash(rw, "good", "The token "+t.Prefix+"… was revoked.")
	return redirect(rw, r, "/account")
}

// passwordSet changes the password, which ends all other sessions.
func (w *Web) passwordSet(rw http.ResponseWriter, r *http.Request, v *visit) error {
	password := r.PostForm.Get("password")
	bad := checkPassword(r.PostForm)
	if bad != nil {
		return w.showAccount(rw, r, v, http.StatusBadRequest, accountData{}, bad...)
	}
	s, err := w.people.SetPassword(r.Context(), *v.caller, r.PostForm.Get("old"), password)
	if problem, ok := asWrong(err, "old"); ok {
		return w.showAccount(rw, r, v, statusOf[mesh.KindOf(err)], accountData{}, problem)
	}
	if err != nil {
		return err
	}
	w.open(rw, r, s)
	w.setFlash(rw, "good", "Your password was changed, and all your other sessions were ended.")
	return redirect(rw, r, "/account")
}

func (w *Web) sessionsEnd(rw http.ResponseWriter, r *http.Request, v *visit) error {
	if err := w.people.LogoutEverywhere(r.Context(), *v.caller); err != nil {
		return err
	}
	w.dropCookie(rw, cookieSession)
	w.setFlash(rw, "good", "You are signed out everywhere.")
	return redirect(rw, r, "/login")
}
