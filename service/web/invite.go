package web

import (
	"net/http"
	"net/url"

	"nexd/mesh"
)

// invitation shows the invitation behind a link. Looking does not use it up.
func (w *Web) invitation(rw http.ResponseWriter, r *http.Request, v *visit) error {
	return w.showInvitation(rw, r, v, http.StatusOK, accountForm{})
}

var errNoInvitation = mesh.Errorf(mesh.NotFound, "web: this invitation is not valid: it was used, revoked, or has expired; ask for another")

func (w *Web) showInvitation(rw http.ResponseWriter, r *http.Request, v *visit, status int, a accountForm, bad ...wrong) error {
	token := r.PathValue("token")
	inv, org, err := w.people.Invited(r.Context(), token, v.from)
	if mesh.KindOf(err) == mesh.NotFound {
		return errNoInvitation
	}
	if err != nil {
		return err
	}
	a.Token = token
	if inv.Email != "" {
		a.Email, a.Fixed = inv.Email, true
	}
	d := inviteData{accountForm: a, Invitation: inv, Org: org, Providers: w.providers}
	for _, o := range v.orgs {
		if o.ID == org.ID {
			d.Member = &o
		}
	}
	return w.show(rw, r, v, status, "invite", shown{Title: "Join " + org.Name, Solo: true, Wrong: bad, Data: d})
}

// signUp creates an account for the holder of an invitation.
func (w *Web) signUp(rw http.ResponseWriter, r *http.Request, v *visit) error {
	a, password, bad := readAccount(r.PostForm)
	if bad != nil {
		return w.showInvitation(rw, r, v, http.StatusBadRequest, a, bad...)
	}
	s, err := w.people.SignUp(r.Context(), r.PathValue("token"), a.Email, a.Name, password, v.from)
	if problem, ok := asWrong(err, ""); ok && mesh.KindOf(err) != mesh.NotFound {
		return w.showInvitation(rw, r, v, statusOf[mesh.KindOf(err)], a, problem)
	}
	if mesh.KindOf(err) == mesh.NotFound {
		return errNoInvitation
	}
	if err != nil {
		return err
	}
	w.open(rw, r, s)
	w.setFlash(rw, "good", "Welcome. Your account was created.")
	return redirect(rw, r, "/")
}

// acceptInvitation makes the signed-in visitor a member.
func (w *Web) acceptInvitation(rw http.ResponseWriter, r *http.Request, v *visit) error {
	if v.caller == nil {
		return redirect(rw, r, "/login?next="+url.QueryEscape("/invite/"+url.PathEscape(r.PathValue("token"))))
	}
	o, err := w.people.AcceptInvitation(r.Context(), *v.caller, r.PathValue("token"))
	if mesh.KindOf(err) == mesh.NotFound {
		return errNoInvitation
	}
	if err != nil {
		return err
	}
	w.setFlash(rw, "good", "You are now a member of "+o.Name+", with the role "+string(o.Role)+".")
	return redirect(rw, r, orgPath(o, "nodes"))
}
