package web

import (
	"net/http"

	"nexd/mesh"
)

// setupForm is the way in while there are no accounts. Without the link that the service
// printed, it only explains where to find that link.
func (w *Web) setupForm(rw http.ResponseWriter, r *http.Request, v *visit) error {
	first, err := w.people.FirstRun(r.Context())
	if err != nil {
		return err
	}
	if !first {
		return redirect(rw, r, "/")
	}
	return w.showSetup(rw, r, v, http.StatusOK, accountForm{Token: r.URL.Query().Get("token")})
}

func (w *Web) showSetup(rw http.ResponseWriter, r *http.Request, v *visit, status int, a accountForm, bad ...wrong) error {
	s := shown{Title: "Set up nexd", Solo: true, Wrong: bad, Data: a}
	if a.Token == "" {
		return w.show(rw, r, v, status, "setuplink", s)
	}
	if err := w.people.CheckSetup(r.Context(), a.Token); err != nil {
		if _, ok := asWrong(err, ""); !ok {
			return err
		}
		s.Wrong = []wrong{{"", "This set-up link is no longer valid. The service printed the newest link where it was started."}}
		return w.show(rw, r, v, http.StatusForbidden, "setuplink", s)
	}
	return w.show(rw, r, v, status, "setup", s)
}

func (w *Web) setup(rw http.ResponseWriter, r *http.Request, v *visit) error {
	a, password, bad := readAccount(r.PostForm)
	a.Token = r.PostForm.Get("token")
	if bad != nil {
		return w.showSetup(rw, r, v, http.StatusBadRequest, a, bad...)
	}
	s, err := w.people.Setup(r.Context(), a.Token, a.Email, a.Name, password, v.from)
	if problem, ok := asWrong(err, ""); ok {
		return w.showSetup(rw, r, v, statusOf[mesh.KindOf(err)], a, problem)
	}
	if err != nil {
		return err
	}
	w.open(rw, r, s)
	w.setFlash(rw, "good", "nexd is set up, and you are its first owner. Next, join a node.")
	return redirect(rw, r, "/")
}
