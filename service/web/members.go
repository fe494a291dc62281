package web

import (
	"net/http"
	"strings"

	"nexd/control"
	"nexd/mesh"
)

type membersData struct {
	Members     []memberRow
	Invitations []control.Invitation
	Link        string // of a new invitation, shown once
	LinkFor     string
	Email       string
	Role        mesh.Role
	Life        string
	Roles       []roleChoice
}

type memberRow struct {
	control.Member
	Me     bool
	Change bool // the visitor may change this one
	Roles  []roleChoice
}

type roleChoice struct {
	Role mesh.Role
	Does string
}

var roleChoices = []roleChoice{
	{mesh.RoleMember, "sees nodes and prefixes, approves nodes"},
	{mesh.RoleAuditor, "sees everything, changes nothing"},
	{mesh.RoleAdmin, "changes everything except owners"},
	{mesh.RoleOwner, "changes everything, including owners"},
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
		row := memberRow{Member: m, Me: m.ID == v.caller.UserID, Roles: d.Roles}
		row.Change = v.org.Role.Grants(m.Role)
		d.Members = append(d.Members, row)
	}
	if v.sees() {
		if d.Invitations, err = w.people.Invitations(r.Context(), *v.caller, string(v.org.ID)); err != nil {
			return err
		}
	}
	return w.show(rw, r, v, status, "people", shown{Title: "People", Tab: "people", Wrong: bad, Data: d})
}

func (w *Web) memberRole(rw http.ResponseWriter, r *http.Request, v *visit) error {
	m, err := w.people.SetRole(r.Context(), *v.caller, string(v.org.ID), r.PathValue("user"), mesh.Role(r.PostForm.Get("role")))
	if err != nil {
		return err
	}
	w.setFlash(rw, "good", m.Email+" is now "+string(m.Role)+".")
	return redirect(rw, r, orgPath(v.org, "people"))
}

func (w *Web) memberConfirm(rw http.ResponseWriter, r *http.Request, v *visit) error {
	list, err := w.people.Members(r.Context(), *v.caller, string(v.org.ID))
	if err != nil {
		return err
	}
	for _, m := range list {
		if m.ID != r.PathValue("user") {
			continue
		}
		c := confirm{
			Question: "Remove " + m.Email + " from " + v.org.Name + "?",
			Facts:    [][2]string{{"Name", orDash(m.Name)}, {"Role", string(m.Role)}},
			Effects:  []string{"They lose access to " + v.org.Name + " immediately.", "Invitations they created that nobody has used end.", "Nodes they approved stay. Registration keys stay, too: revoke those that they may still have."},
			Do:       "Remove", Action: orgPath(v.org, "people", m.ID, "remove"), Back: orgPath(v.org, "people"),
		}
		if m.ID == v.caller.UserID {
			c.Question, c.Do = "Leave "+v.org.Name+"?", "Leave"
			c.Effects = []string{"You lose access to " + v.org.Name + " immediately. To come back you need an invitation.", "Invitations you created that nobody has used end. Nodes you approved stay."}
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
	if m.ID == v.caller.UserID {
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
		return w.showMembers(rw, r, v, http.StatusBadRequest, d, wrong{"life", "Choose how long the link is valid."})
	}
	i, err := w.people.Invite(r.Context(), *v.caller, string(v.org.ID), control.NewInvitation{Role: d.Role, Email: d.Email, ExpiresIn: inSeconds(life)})
	if mesh.KindOf(err) == mesh.Invalid {
		return w.showMembers(rw, r, v, http.StatusBadRequest, d, wrong{"email", sentence(err)})
	}
	if err != nil {
		return err
	}
	if strings.HasPrefix(i.Link, "/") {
		i.Link = w.base.String() + i.Link
	}
	return w.showMembers(rw, r, v, http.StatusOK, membersData{Link: i.Link, LinkFor: d.Email, Role: mesh.RoleMember, Life: "week"})
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
				Facts:    [][2]string{{"For", orAnybody(i.Email)}, {"Role", string(i.Role)}, {"Invited by", i.Inviter}},
				Effects:  []string{"Its link stops working immediately."},
				Do:       "Revoke invitation", Action: orgPath(v.org, "invitations", i.ID, "revoke"), Back: orgPath(v.org, "people"),
			})
		}
	}
	return mesh.Errorf(mesh.NotFound, "web: there is no such invitation")
}

func orAnybody(email string) string {
	if email == "" {
		return "anybody with the link"
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
	Invitation control.Invitation
	Org        control.Organization
	Member     *control.Organization // the visitor is in already
	Providers  []*provider
}
