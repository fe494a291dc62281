package web

import (
	"net/http"
	"net/netip"

	"nexd/mesh"
)

type prefixesData struct {
	Prefixes []mesh.Holding
	Command  string
}

func (w *Web) prefixes(rw http.ResponseWriter, r *http.Request, v *visit) error {
	list, err := w.people.Prefixes(r.Context(), *v.caller, string(v.org.ID))
	if err != nil {
		return err
	}
	return w.show(rw, r, v, http.StatusOK, "prefixes", shown{Title: "Prefixes", Tab: "prefixes",
		Data: prefixesData{list, "nexd router --userspace --advertise-cidr=172.24.0.0/24 " + w.join}})
}

func (w *Web) prefixConfirm(rw http.ResponseWriter, r *http.Request, v *visit) error {
	p, err := mesh.ParsePrefix(r.URL.Query().Get("prefix"))
	if err != nil {
		return err
	}
	h, err := w.holding(r, v, p)
	if err != nil {
		return err
	}
	c := confirm{
		Question: "Release " + p.String() + "?",
		Facts:    [][2]string{{"Held by", h.HolderName}, {"State", stateWord(h)}, {"Holder last seen", ago(w.now(), h.LastSeen)}},
		Effects:  []string{"Any node of " + v.org.Name + " can hold it next, including the same one."},
		Do:       "Release " + p.String(), Action: orgPath(v.org, "prefixes", "release"), Fields: [][2]string{{"prefix", p.String()}}, Back: orgPath(v.org, "prefixes"),
	}
	if h.State() == "advertised" {
		c.Effects = append([]string{"Containers behind it can no longer be reached."}, c.Effects...)
	}
	return w.ask(rw, r, v, "prefixes", c)
}

// holding finds a prefix among those of the organization.
func (w *Web) holding(r *http.Request, v *visit, p netip.Prefix) (mesh.Holding, error) {
	list, err := w.people.Prefixes(r.Context(), *v.caller, string(v.org.ID))
	if err != nil {
		return mesh.Holding{}, err
	}
	for _, h := range list {
		if h.Prefix == p {
			return h, nil
		}
	}
	return mesh.Holding{}, mesh.Errorf(mesh.NotFound, "web: nobody holds %v", p)
}

func stateWord(h mesh.Holding) string {
	switch s := h.State(); s {
	case "held":
		return "held, not advertised"
	case "offline":
		return "the holder is offline"
	default:
		return s
	}
}

func (w *Web) prefixRelease(rw http.ResponseWriter, r *http.Request, v *visit) error {
	p, err := mesh.ParsePrefix(r.PostForm.Get("prefix"))
	if err != nil {
		return err
	}
	h, err := w.people.ReleasePrefix(r.Context(), *v.caller, string(v.org.ID), p)
	if err != nil {
		return err
	}
	w.setFlash(rw, "good", h.Prefix.String()+" was released; "+h.HolderName+" held it.")
	return redirect(rw, r, orgPath(v.org, "prefixes"))
}
