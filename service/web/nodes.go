package web

import (
	"net/http"
	"strconv"
	"time"

	"nexd/control"
	"nexd/mesh"
)

// nodesData are the nodes of an organization.
type nodesData struct {
	Nodes   []control.NodeInfo
	Online  int
	Command string // that joins a node
	Router  string // that joins a router
	Waiting string // fingerprint of an approved node that has not joined yet
	Late    bool   // it should have joined by now
	Arrived string // its name once it has joined
}

// An approved node registers at its next poll, some seconds later. When it is late, its
// terminal shows the reason; the page then reloads less often, and not for ever.
const (
	lateAfter = 30 * time.Second
	lookUntil = 10 * time.Minute // how long an approval is good
)

func (w *Web) nodes(rw http.ResponseWriter, r *http.Request, v *visit) error {
	list, err := w.people.Nodes(r.Context(), *v.caller, string(v.org.ID))
	if err != nil {
		return err
	}
	d := nodesData{Nodes: list, Command: "nexd --userspace " + w.join, Router: "nexd router --userspace --advertise-cidr=172.24.0.0/24 " + w.join}
	s := shown{Title: "Nodes", Tab: "nodes"}
	if key, err := mesh.ParseKey(r.URL.Query().Get("waiting")); err == nil {
		d.Waiting, s.Wait = control.Fingerprint(key), 2
		since, _ := strconv.ParseInt(r.URL.Query().Get("since"), 10, 64)
		switch age := w.now().Sub(time.Unix(since, 0)); {
		case age >= lookUntil:
			d.Late, s.Wait = true, 0
		case age >= lateAfter:
			d.Late, s.Wait = true, 10
		}
	}
	for _, n := range list {
		if n.Online {
			d.Online++
		}
		if d.Waiting != "" && control.Fingerprint(n.Key) == d.Waiting && n.Online {
			d.Arrived, s.Wait = n.Name, 0
		}
	}
	s.Data = d
	return w.show(rw, r, v, http.StatusOK, "nodes", s)
}

// confirm is a page that asks for confirmation before something is destroyed.
type confirm struct {
	Question string
	Facts    [][2]string
	Effects  []string
	Do       string // the button
	Action   string // where the form goes
	Fields   [][2]string
	Back     string
}

func (w *Web) ask(rw http.ResponseWriter, r *http.Request, v *visit, tab string, c confirm) error {
	return w.show(rw, r, v, http.StatusOK, "confirm", shown{Title: c.Question, Tab: tab, Solo: true, Data: c})
}

func (w *Web) nodeConfirm(rw http.ResponseWriter, r *http.Request, v *visit) error {
	n, err := w.people.Node(r.Context(), *v.caller, string(v.org.ID), r.PathValue("node"))
	if err != nil {
		return err
	}
	c := confirm{
		Question: "Remove " + n.Name + "?",
		Facts:    [][2]string{{"Host name", n.Hostname}, {"System", n.OS}, {"Key", control.Fingerprint(n.Key)}},
		Effects: []string{
			"It leaves the mesh immediately. Its agent stops and does not rejoin by itself.",
			"Other nodes can take its prefixes immediately, and its addresses after a day.",
			"To bring it back, join it again.",
		},
		Do: "Remove " + n.Name, Action: orgPath(v.org, "nodes", string(n.ID), "remove"), Back: orgPath(v.org, "nodes"),
	}
	for _, h := range n.Prefixes {
		c.Facts = append(c.Facts, [2]string{"Holds", h.Prefix.String()})
	}
	return w.ask(rw, r, v, "nodes", c)
}

func (w *Web) nodeRemove(rw http.ResponseWriter, r *http.Request, v *visit) error {
	n, err := w.people.RemoveNode(r.Context(), *v.caller, string(v.org.ID), r.PathValue("node"))
	if err != nil {
		return err
	}
	w.setFlash(rw, "good", n.Name+" was removed.")
	return redirect(rw, r, orgPath(v.org, "nodes"))
}
