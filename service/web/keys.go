package web

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"nexd/control"
	"nexd/mesh"
)

type keysData struct {
	Keys    []control.Key
	Secret  string // of a new key, shown once
	Command string
	Form    keyForm
}

type keyForm struct {
	Description, Uses, Life string
	Replace                 bool
}

// lives are the lifetimes that forms offer.
var lives = map[string]time.Duration{
	"hour": time.Hour, "day": 24 * time.Hour, "week": 7 * 24 * time.Hour, "month": 30 * 24 * time.Hour, "year": 365 * 24 * time.Hour, "ever": 0,
}

func (w *Web) keys(rw http.ResponseWriter, r *http.Request, v *visit) error {
	return w.showKeys(rw, r, v, http.StatusOK, keysData{Form: keyForm{Uses: "1", Life: "day"}})
}

func (w *Web) showKeys(rw http.ResponseWriter, r *http.Request, v *visit, status int, d keysData, bad ...wrong) error {
	var err error
	if d.Keys, err = w.people.Keys(r.Context(), *v.caller, string(v.org.ID)); err != nil {
		return err
	}
	return w.show(rw, r, v, status, "keys", shown{Title: "Registration keys", Tab: "keys", Wrong: bad, Data: d})
}

func (w *Web) keyCreate(rw http.ResponseWriter, r *http.Request, v *visit) error {
	f := keyForm{Description: strings.TrimSpace(r.PostForm.Get("description")), Uses: strings.TrimSpace(r.PostForm.Get("uses")), Life: r.PostForm.Get("life"), Replace: r.PostForm.Has("replace")}
	var bad []wrong
	want := control.NewKey{Description: f.Description, Replace: f.Replace}
	if f.Uses != "" {
		n, err := strconv.Atoi(f.Uses)
		if err != nil || n < 1 || n > 1_000_000 {
			bad = append(bad, wrong{"uses", "Enter how many nodes may join with it, from 1 up, or leave it empty for any number."})
		}
		want.Uses = n
	}
	life, ok := lives[f.Life]
	if !ok {
		bad = append(bad, wrong{"life", "Choose how long the key is valid."})
	}
	want.ExpiresIn = inSeconds(life)
	if bad != nil {
		return w.showKeys(rw, r, v, http.StatusBadRequest, keysData{Form: f}, bad...)
	}
	k, err := w.people.CreateKey(r.Context(), *v.caller, string(v.org.ID), want)
	if mesh.KindOf(err) == mesh.Invalid {
		return w.showKeys(rw, r, v, http.StatusBadRequest, keysData{Form: f}, wrong{"description", sentence(err)})
	}
	if err != nil {
		return err
	}
	// The key carries the pin, so that the URL needs none.
	return w.showKeys(rw, r, v, http.StatusOK, keysData{Secret: k.Text, Command: "nexd --userspace --reg-key-file=- " + w.base.String(), Form: keyForm{Uses: "1", Life: "day"}})
}

func (w *Web) keyConfirm(rw http.ResponseWriter, r *http.Request, v *visit) error {
	list, err := w.people.Keys(r.Context(), *v.caller, string(v.org.ID))
	if err != nil {
		return err
	}
	for _, k := range list {
		if k.ID != r.PathValue("key") {
			continue
		}
		return w.ask(rw, r, v, "keys", confirm{
			Question: "Revoke the key " + k.Prefix + "…?",
			Facts:    [][2]string{{"Purpose", orDash(k.Description)}, {"Used", plural(k.Used, "time")}, {"Last used", ago(w.now(), k.LastUsed)}},
			Effects:  []string{"No more nodes can join with it. Nodes that joined with it stay."},
			Do:       "Revoke key", Action: orgPath(v.org, "keys", k.ID, "revoke"), Back: orgPath(v.org, "keys"),
		})
	}
	return mesh.Errorf(mesh.NotFound, "web: there is no such key")
}

func orDash(s string) string {
	if s == "" {
		return "—"
	}
	return s
}

func (w *Web) keyRevoke(rw http.ResponseWriter, r *http.Request, v *visit) error {
	k, err := w.people.RevokeKey(r.Context(), *v.caller, string(v.org.ID), r.PathValue("key"))
	if err != nil {
		return err
	}
	w.setFlash(rw, "good", "The key "+k.Prefix+"… was revoked.")
	return redirect(rw, r, orgPath(v.org, "keys"))
}
