package web

import (
	"net/http"
	"strings"

	"nexd/mesh"
	"nexd/service/store"
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
	if again, ok := asWrong(err, "name"); ok {
		return w.showOrgs(rw, r, v, statusOf[mesh.KindOf(err)], d, again)
	}
	if err != nil {
		return err
	}
	w.setFlash(rw, "good", o.Name+" is made, and you own it.")
	return redirect(rw, r, orgPath(o, "nodes"))
}

func (w *Web) orgDefault(rw http.ResponseWriter, r *http.Request, v *visit) error {
	if err := w.people.SetDefault(r.Context(), *v.caller, r.PostForm.Get("org")); err != nil {
		return err
	}
	w.setFlash(rw, "good", "Changed where the nodes you approve go by default.")
	return redirect(rw, r, "/orgs")
}

// auditPage is how many changes one page shows.
const auditPage = 50

type auditData struct {
	Entries []store.AuditEntry
	Older   string // the last entry, if there may be more
	First   bool
}

func (w *Web) audit(rw http.ResponseWriter, r *http.Request, v *visit) error {
	before := r.URL.Query().Get("before")
	list, err := w.people.Audit(r.Context(), *v.caller, string(v.org.ID), before, auditPage+1)
	if err != nil {
		return err
	}
	return w.showAudit(rw, r, v, before, list, shown{Title: "Audit", Tab: "audit"})
}

// ownAudit is what happened to the visitor's account, which no organization's audit
// holds.
func (w *Web) ownAudit(rw http.ResponseWriter, r *http.Request, v *visit) error {
	before := r.URL.Query().Get("before")
	list, err := w.people.OwnAudit(r.Context(), *v.caller, before, auditPage+1)
	if err != nil {
		return err
	}
	return w.showAudit(rw, r, v, before, list, shown{Title: "What happened to your account"})
}

func (w *Web) showAudit(rw http.ResponseWriter, r *http.Request, v *visit, before string, list []store.AuditEntry, s shown) error {
	d := auditData{Entries: list, First: before == ""}
	if len(list) > auditPage {
		d.Entries = list[:auditPage]
		d.Older = d.Entries[auditPage-1].ID
	}
	s.Data = d
	return w.show(rw, r, v, http.StatusOK, "audit", s)
}
