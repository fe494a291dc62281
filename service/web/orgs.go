package web

import (
	"net/http"
	"strings"

	"nexd/mesh"
)

type orgsData struct{ Name string }

func (w *Web) orgs(rw http.ResponseWriter, r *http.Request, v *visit) error {
	return w.showOrgs(rw, r, v, http.StatusOK, orgsData{})
}

func (w *Web) showOrgs(rw http.ResponseWriter, r *http.Request, v *visit, status int, d orgsData, bad ...wrong) error {
	return w.show(rw, r, v, status, "orgs", shown{Title: "Organizations", Wrong: bad, Data: d})
}

func (w *Web) orgCreate(rw http.ResponseWriter, r *http.Request, v *visit) error {
	d := orgsData{Name: strings.TrimSpace(r.PostForm.Get("name"))}
	o, err := w.people.CreateOrganization(r.Context(), *v.caller, d.Name)
	if problem, ok := asWrong(err, "name"); ok {
		return w.showOrgs(rw, r, v, statusOf[mesh.KindOf(err)], d, problem)
	}
	if err != nil {
		return err
	}
	w.setFlash(rw, "good", o.Name+" was created, and you own it.")
	return redirect(rw, r, orgPath(o, "nodes"))
}

func (w *Web) orgDefault(rw http.ResponseWriter, r *http.Request, v *visit) error {
	if err := w.people.SetDefault(r.Context(), *v.caller, r.PostForm.Get("org")); err != nil {
		return err
	}
	w.setFlash(rw, "good", "Nodes that you approve now join "+r.PostForm.Get("org")+" by default.")
	return redirect(rw, r, "/orgs")
}
