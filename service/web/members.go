package web

import (
	"net/http"
	"strings"

	"nexd/mesh"
	"nexd/service/people"
	"nexd/service/store"
)

type membersData struct {
	Members     []memberRow
	Invitations []invitationRow
	Link        string // of an invitation just made, shown this once
	LinkFor     string
	Email       string
	Role        mesh.Role
	Life        string
	Roles       []roleChoice
}

type memberRow struct {
	store.Member
	Me     bool
	Change bool // the visitor may change this one
	Roles  []roleChoice
}

type invitationRow struct {
	store.Invitation
	State string
}

type roleChoice struct {
	Role mesh.Role
	Does string
}

var roleChoices = []roleChoice{
	{mesh.RoleMember, "sees nodes and prefixes, lets nodes join"},
	{mesh.RoleAuditor, "sees everything, changes nothing"},
	{mesh.RoleAdmin, "changes everything but owners"},
	{mesh.RoleOwner, "changes everything, owners too"},
}

// rolesFor are the roles that a person of a role may give.
func rolesFor(r mesh.Role) (choices []roleChoice) {
	for _, c := range roleChoices {
		if r.Grants(c.Role) {
			choices = append(choices, c)
		}
	}
	return choices
}

func (w *Web) members(rw http.ResponseWriter, r *http.Request, v *visit) error {
	return w.showMembers(rw, r, v, http.StatusOK, membersData{Role: mesh.RoleMember, Life: "week"})
}

func (w *Web) showMembers(rw http.ResponseWriter, r *http.Request, v *visit, status int, d membersData, bad ...wrong) error {
	list, err := w.people.Members(r.Context(), *v.caller, string(v.org.ID))
	if err != nil {
		return err
	}
	d.Roles = rolesFor(v.org.Role)
	for _, m := range list {
		row := memberRow{Member: m, Me: m.UserID == v.caller.UserID, Roles: d.Roles}
		row.Change = v.org.Role.Grants(m.Role)
		d.Members = append(d.Members, row)
	}
	if v.sees() {
		invitations, err := w.people.Invitations(r.Context(), *v.caller, string(v.org.ID))
		if err != nil {
			return err
		}
		for _, i := range invitations {
			d.Invitations = append(d.Invitations, invitationRow{i, i.State(w.now())})
		}
	}
	return w.show(rw, r, v, status, "people", shown{Title: "People", Tab: "people", Wrong: bad, Data: d})
}

func (w *Web) memberRole(rw http.ResponseWriter, r *http.Request, v *visit) error {
	m, err := w.people.SetRole(r.Context(), *v.caller, string(v.org.ID), r.PathValue("user"), mesh.Role(r.PostForm.Get("role")))
	if err != nil {
		return err
	}
	w.setFlash(rw, "good", m.Email+" is "+string(m.Role)+" now.")
	return redirect(rw, r, orgPath(v.org, "people"))
}

func (w *Web) memberConfirm(rw http.ResponseWriter, r *http.Request, v *visit) error {
	list, err := w.people.Members(r.Context(), *v.caller, string(v.org.ID))
	if err != nil {
		return err
	}
	for _, m := range list {
		if m.UserID != r.PathValue("user") {
			continue
		}
		c := confirm{
			Question: "Remove " + m.Email + " from " + v.org.Name + "?",
			Facts:    [][2]string{{"Name", orDash(m.Name)}, {"Role", string(m.Role)}},
			Effects:  []string{"They see nothing of " + v.org.Name + " any more, as of now.", "Invitations they made and nobody has used end.", "Nodes they let in stay, and so do registration keys: revoke those that they may still have."},
			Do:       "Remove", Action: orgPath(v.org, "people", m.UserID, "remove"), Back: orgPath(v.org, "people"),
		}
		if m.UserID == v.caller.UserID {
			c.Question, c.Do = "Leave "+v.org.Name+"?", "Leave"
			c.Effects = []string{"You see nothing of " + v.org.Name + " any more, as of now. To come back you need an invitation.", "Invitations you made and nobody has used end. Nodes you let in stay."}
		}
		return w.ask(rw, r, v, "people", c)
	}
	return mesh.Errorf(mesh.NotFound, "web: there is no such person")
}

func (w *Web) memberRemove(rw http.ResponseWriter, r *http.Request, v *visit) error {
	m, err := w.people.RemoveMember(r.Context(), *v.caller, string(v.org.ID), r.PathValue("user"))
	if err != nil {
		return err
	}
	if m.UserID == v.caller.UserID {
		w.setFlash(rw, "good", "You left "+v.org.Name+".")
		return redirect(rw, r, "/orgs")
	}
	w.setFlash(rw, "good", m.Email+" was removed from "+v.org.Name+".")
	return redirect(rw, r, orgPath(v.org, "people"))
}

func (w *Web) invite(rw http.ResponseWriter, r *http.Request, v *visit) error {
	d := membersData{Email: strings.TrimSpace(r.PostForm.Get("email")), Role: mesh.Role(r.PostForm.Get("role")), Life: r.PostForm.Get("life")}
	life, ok := lives[d.Life]
	if !ok || life == 0 {
		return w.showMembers(rw, r, v, http.StatusBadRequest, d, wrong{"life", "Pick how long the link is good."})
	}
	_, link, err := w.people.Invite(r.Context(), *v.caller, string(v.org.ID), d.Role, d.Email, life)
	if mesh.KindOf(err) == mesh.Invalid {
		return w.showMembers(rw, r, v, http.StatusBadRequest, d, wrong{"email", sentence(err)})
	}
	if err != nil {
		return err
	}
	if strings.HasPrefix(link, "/") {
		link = w.base.String() + link
	}
	return w.showMembers(rw, r, v, http.StatusOK, membersData{Link: link, LinkFor: d.Email, Role: mesh.RoleMember, Life: "week"})
}

func (w *Web) inviteConfirm(rw http.ResponseWriter, r *http.Request, v *visit) error {
	list, err := w.people.Invitations(r.Context(), *v.caller, string(v.org.ID))
	if err != nil {
		return err
	}
	for _, i := range list {
		if i.ID == r.PathValue("invitation") {
			return w.ask(rw, r, v, "people", confirm{
				Question: "Revoke this invitation?",
				Facts:    [][2]string{{"For", orAnybody(i.Email)}, {"As", string(i.Role)}, {"By", i.Inviter}},
				Effects:  []string{"Its link does nothing any more, as of now."},
				Do:       "Revoke invitation", Action: orgPath(v.org, "invitations", i.ID, "revoke"), Back: orgPath(v.org, "people"),
			})
		}
	}
	return mesh.Errorf(mesh.NotFound, "web: there is no such invitation")
}

func orAnybody(email string) string {
	if email == "" {
		return "whoever has the link"
	}
	return email
}

func (w *Web) inviteRevoke(rw http.ResponseWriter, r *http.Request, v *visit) error {
	if _, err := w.people.RevokeInvitation(r.Context(), *v.caller, string(v.org.ID), r.PathValue("invitation")); err != nil {
		return err
	}
	w.setFlash(rw, "good", "The invitation was revoked.")
	return redirect(rw, r, orgPath(v.org, "people"))
}

// inviteData is an invitation as its holder sees it.
type inviteData struct {
	accountForm
	Invitation store.Invitation
	Org        store.Organization
	Member     *people.Org // the visitor is in already
	Providers  []*provider
}
