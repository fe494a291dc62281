package web

import (
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"nexd/control"
	"nexd/mesh"
)

// deviceData is a waiting node, and the organizations that it may join.
type deviceData struct {
	Code  string
	Node  control.PendingNode
	Orgs  []control.Organization // in which the visitor may approve nodes
	Picks string                 // the preselected organization
	Taken []taken
}

// taken is the reason why an organization would refuse a waiting node: another node
// holds the prefix that it asks for.
type taken struct {
	Org    control.Organization
	Want   netip.Prefix
	Holder mesh.Holding
}

// lookedInto is in how many organizations taken looks.
const lookedInto = 10

// taken finds the prefixes that the node cannot have, before a person approves it in
// vain.
func (w *Web) taken(r *http.Request, v *visit, n control.PendingNode, orgs []control.Organization) (found []taken, err error) {
	if len(n.Prefixes) == 0 {
		return nil, nil
	}
	for _, o := range orgs[:min(len(orgs), lookedInto)] {
		held, err := w.people.Prefixes(r.Context(), *v.caller, string(o.ID))
		if err != nil {
			return nil, err
		}
		for _, p := range n.Prefixes {
			if i := slices.IndexFunc(held, func(h mesh.Holding) bool { return h.Prefix.Overlaps(p) }); i >= 0 {
				found = append(found, taken{o, p, held[i]})
			}
		}
	}
	return found, nil
}

// device asks for a code or, given one, shows the node that waits with it. Looking
// changes nothing; approving is a form of its own.
func (w *Web) device(rw http.ResponseWriter, r *http.Request, v *visit) error {
	code := strings.TrimSpace(r.URL.Query().Get("user_code"))
	if code == "" {
		return w.askCode(rw, r, v, http.StatusOK, "")
	}
	n, err := w.people.PendingNode(r.Context(), *v.caller, code)
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
			bad.Text = "No node is waiting with this code. Codes expire after 15 minutes; the terminal shows the newest one."
		}
		return w.askCode(rw, r, v, statusOf[mesh.KindOf(err)], code, bad)
	}
	d := deviceData{Code: n.UserCode, Node: n}
	for _, o := range v.orgs {
		if o.Role.Approves() {
			d.Orgs = append(d.Orgs, o)
		}
	}
	if len(d.Orgs) > 0 {
		d.Picks = d.Orgs[0].Name
	}
	name := "device"
	if n.State != "pending" && n.State != "" {
		name = "devicedone"
	} else if d.Taken, err = w.taken(r, v, n, d.Orgs); err != nil {
		return err
	}
	return w.show(rw, r, v, http.StatusOK, name, shown{Title: "Let this node join?", Solo: true, Data: d})
}

func (w *Web) deviceApprove(rw http.ResponseWriter, r *http.Request, v *visit) error {
	code, name := r.PostForm.Get("user_code"), r.PostForm.Get("org")
	if !slices.ContainsFunc(v.orgs, func(o control.Organization) bool { return o.Name == name }) { // the visitor has left it meanwhile
		w.setFlash(rw, "bad", "You are not in the organization "+name+". Nothing was approved; choose another.")
		return redirect(rw, r, "/device?user_code="+url.QueryEscape(code))
	}
	n, org, err := w.people.ApproveNode(r.Context(), *v.caller, code, name)
	if mesh.KindOf(err) == mesh.NotFound {
		return w.showPending(rw, r, v, code, n, err)
	}
	if err != nil {
		return err
	}
	q := url.Values{"waiting": {n.Key.String()}, "since": {strconv.FormatInt(w.now().Unix(), 10)}}
	return redirect(rw, r, orgPath(org, "nodes")+"?"+q.Encode())
}

func (w *Web) deviceDeny(rw http.ResponseWriter, r *http.Request, v *visit) error {
	code := r.PostForm.Get("user_code")
	n, err := w.people.DenyNode(r.Context(), *v.caller, code)
	if mesh.KindOf(err) == mesh.NotFound {
		return w.showPending(rw, r, v, code, n, err)
	}
	if err != nil {
		return err
	}
	w.setFlash(rw, "good", n.Hostname+" was denied. Nothing was added.")
	return redirect(rw, r, "/device")
}
