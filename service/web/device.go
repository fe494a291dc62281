package web

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"nexd/control"
	"nexd/mesh"
	"nexd/service/people"
	"nexd/service/store"
)

// deviceData is a node that waits, and where it may go.
type deviceData struct {
	Code  string
	Node  control.PendingNode
	Orgs  []people.Org // that the visitor may let nodes into
	Picks string       // organization chosen
}

// device asks for a code or, given one, shows who waits with it. Looking changes
// nothing; approving is a form of its own.
func (w *Web) device(rw http.ResponseWriter, r *http.Request, v *visit) error {
	code := strings.TrimSpace(r.URL.Query().Get("user_code"))
	if code == "" {
		return w.askCode(rw, r, v, http.StatusOK, "")
	}
	n, err := w.people.PendingDevice(r.Context(), *v.caller, code)
	return w.showPending(rw, r, v, code, n, err)
}

func (w *Web) askCode(rw http.ResponseWriter, r *http.Request, v *visit, status int, code string, bad ...wrong) error {
	if len(code) > 40 {
		code = ""
	}
	return w.show(rw, r, v, status, "devicecode", shown{Title: "Connect a node", Solo: true, Wrong: bad, Data: deviceData{Code: code}})
}

func (w *Web) showPending(rw http.ResponseWriter, r *http.Request, v *visit, code string, n control.PendingNode, err error) error {
	if err != nil {
		bad, ok := asWrong(err, "user_code")
		if !ok {
			return err
		}
		if mesh.KindOf(err) == mesh.NotFound {
			bad.Text = "No node waits with this code. A code ends after some minutes: look at the terminal for the newest one."
		}
		return w.askCode(rw, r, v, statusOf[mesh.KindOf(err)], code, bad)
	}
	d := deviceData{Code: n.UserCode, Node: n}
	for _, o := range v.orgs {
		if o.Role != store.RoleAuditor {
			d.Orgs = append(d.Orgs, o)
		}
	}
	if len(d.Orgs) > 0 {
		d.Picks = d.Orgs[0].Name
	}
	name := "device"
	if n.State != "pending" && n.State != "" {
		name = "devicedone"
	}
	return w.show(rw, r, v, http.StatusOK, name, shown{Title: "Let this node join?", Solo: true, Data: d})
}

func (w *Web) deviceApprove(rw http.ResponseWriter, r *http.Request, v *visit) error {
	code, name := r.PostForm.Get("user_code"), r.PostForm.Get("org")
	if !slices.ContainsFunc(v.orgs, func(o people.Org) bool { return o.Name == name }) { // left, or renamed, meanwhile
		w.setFlash(rw, "bad", "You are not in the organization "+name+". Nothing was approved; choose another.")
		return redirect(rw, r, "/device?user_code="+url.QueryEscape(code))
	}
	n, org, err := w.people.ApproveDevice(r.Context(), *v.caller, code, name)
	if mesh.KindOf(err) == mesh.NotFound {
		return w.showPending(rw, r, v, code, n, err)
	}
	if err != nil {
		return err
	}
	return redirect(rw, r, orgPath(org, "nodes")+"?waiting="+url.QueryEscape(n.Key.String()))
}

func (w *Web) deviceDeny(rw http.ResponseWriter, r *http.Request, v *visit) error {
	code := r.PostForm.Get("user_code")
	n, err := w.people.DenyDevice(r.Context(), *v.caller, code)
	if mesh.KindOf(err) == mesh.NotFound {
		return w.showPending(rw, r, v, code, n, err)
	}
	if err != nil {
		return err
	}
	w.setFlash(rw, "good", n.Hostname+" was turned away and told so. Nothing was added.")
	return redirect(rw, r, "/device")
}
