package web

import (
	"net/http"

	"nexd/control"
)

type auditData struct {
	control.AuditList
	First bool // it is the newest page
}

func (w *Web) audit(rw http.ResponseWriter, r *http.Request, v *visit) error {
	before := r.URL.Query().Get("before")
	page, err := w.people.Audit(r.Context(), *v.caller, string(v.org.ID), before, 0)
	if err != nil {
		return err
	}
	return w.show(rw, r, v, http.StatusOK, "audit", shown{Title: "Audit", Tab: "audit", Data: auditData{page, before == ""}})
}

// ownAudit shows the changes of the visitor's account, which no organization's audit
// holds.
func (w *Web) ownAudit(rw http.ResponseWriter, r *http.Request, v *visit) error {
	before := r.URL.Query().Get("before")
	page, err := w.people.OwnAudit(r.Context(), *v.caller, before, 0)
	if err != nil {
		return err
	}
	return w.show(rw, r, v, http.StatusOK, "audit", shown{Title: "Account audit", Data: auditData{page, before == ""}})
}
