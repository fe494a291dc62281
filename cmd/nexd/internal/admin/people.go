package admin

import (
	"context"
	"strings"

	"nexd/control"
	"nexd/internal/program"
	"nexd/mesh"
)

type orgCmd struct {
	List    orgListCmd    `cmd:"" default:"1" help:"List your organizations."`
	Create  orgCreateCmd  `cmd:"" help:"Create an organization, which is a separate mesh."`
	Default orgDefaultCmd `cmd:"" help:"Choose the organization that nodes join by default when you approve them."`
}

type orgListCmd struct{}

func (*orgListCmd) Run(ctx context.Context, a *Client) error {
	l, err := a.Organizations(ctx)
	if err != nil {
		return err
	}
	return a.show(l, orgHead, orgRows(l.Organizations))
}

const orgHead = "NAME ID ROLE DEFAULT POOLS CREATED"

func orgRows(orgs []control.Organization) (rows [][]string) {
	for _, o := range orgs {
		isDefault := "-"
		if o.Default {
			isDefault = "yes"
		}
		rows = append(rows, []string{o.Name, string(o.ID), string(o.Role), isDefault, words(o.Pools), stamp(o.Created)})
	}
	return rows
}

type orgCreateCmd struct {
	Name string `arg:"" help:"Name of the organization, a DNS label."`
}

func (cmd *orgCreateCmd) Run(ctx context.Context, a *Client) error {
	o, err := a.CreateOrganization(ctx, cmd.Name)
	if err != nil {
		return err
	}
	return a.tell(o, "Created organization %s (%s).", o.Name, o.ID)
}

type orgDefaultCmd struct {
	Name string `arg:"" help:"Name or ID of one of your organizations."`
}

func (cmd *orgDefaultCmd) Run(ctx context.Context, a *Client) error {
	me, err := a.SetDefaultOrganization(ctx, cmd.Name)
	if err != nil {
		return err
	}
	return a.tell(me, "Nodes that you approve now join %s unless you choose another organization.", cmd.Name)
}

type userCmd struct {
	Show userShowCmd `cmd:"" default:"1" help:"Show the API token's owner, scopes and organizations."`
}

type userShowCmd struct{}

func (*userShowCmd) Run(ctx context.Context, a *Client) error {
	me, err := a.Me(ctx)
	if err != nil {
		return err
	}
	if !a.json {
		if err := a.tell(me, "%s  %s  token scopes %s", me.Email, me.ID, words(me.Scopes)); err != nil {
			return err
		}
	}
	return a.show(me, orgHead, orgRows(me.Organizations))
}

type memberCmd struct {
	List   memberListCmd   `cmd:"" default:"1" help:"List the members of an organization."`
	Role   memberRoleCmd   `cmd:"" help:"Change a member's role."`
	Remove memberRemoveCmd `cmd:"" help:"Remove a member from an organization."`
}

type memberListCmd struct{ inOrg }

func (cmd *memberListCmd) Run(ctx context.Context, a *Client) error {
	org, err := cmd.org(ctx, a)
	if err != nil {
		return err
	}
	l, err := a.Members(ctx, org)
	if err != nil {
		return err
	}
	var rows [][]string
	for _, m := range l.Members {
		rows = append(rows, []string{m.Email, m.ID, string(m.Role), stamp(m.Since), m.Name})
	}
	return a.show(l, "EMAIL ID ROLE SINCE NAME", rows)
}

type memberRoleCmd struct {
	inOrg
	User string `arg:"" help:"The member's e-mail address or ID."`
	Role string `arg:"" help:"owner, admin, member or auditor." enum:"owner,admin,member,auditor"`
}

func (cmd *memberRoleCmd) Run(ctx context.Context, a *Client) error {
	org, err := cmd.org(ctx, a)
	if err != nil {
		return err
	}
	m, err := a.SetRole(ctx, org, cmd.User, mesh.Role(cmd.Role))
	if err != nil {
		return err
	}
	return a.tell(m, "%s is now %s.", m.Email, m.Role)
}

type memberRemoveCmd struct {
	inOrg
	User string `arg:"" help:"The member's e-mail address or ID."`
}

func (cmd *memberRemoveCmd) Run(ctx context.Context, a *Client) error {
	org, err := cmd.org(ctx, a)
	if err != nil {
		return err
	}
	m, err := a.RemoveMember(ctx, org, cmd.User)
	if err != nil {
		return err
	}
	return a.tell(m, "Removed %s. Nodes they approved stay; remove one with nexd admin node remove.", m.Email)
}

type invitationCmd struct {
	List   invitationListCmd   `cmd:"" default:"1" help:"List the invitations of an organization."`
	Create invitationCreateCmd `cmd:"" help:"Create an invitation link for one person; the link is shown only once."`
	Revoke invitationRevokeCmd `cmd:"" help:"Revoke an unused invitation."`
	Accept invitationAcceptCmd `cmd:"" help:"Join an organization with an invitation."`
}

type invitationListCmd struct{ inOrg }

func (cmd *invitationListCmd) Run(ctx context.Context, a *Client) error {
	org, err := cmd.org(ctx, a)
	if err != nil {
		return err
	}
	l, err := a.Invitations(ctx, org)
	if err != nil {
		return err
	}
	var rows [][]string
	for _, i := range l.Invitations {
		rows = append(rows, []string{i.ID, string(i.Role), i.State, i.Email, i.Inviter, stamp(i.Expires)})
	}
	return a.show(l, "ID ROLE STATE EMAIL INVITER EXPIRES", rows)
}

type invitationCreateCmd struct {
	inOrg
	secret
	Role    string `help:"owner, admin, member or auditor." enum:"owner,admin,member,auditor" default:"member" env:"-"`
	Email   string `help:"Restrict the invitation to this e-mail address." placeholder:"ADDRESS" env:"-"`
	Expires string `help:"Lifetime, such as 24h (default: 7d, at most 30d)." placeholder:"DURATION" env:"-"`

	expires int64
}

func (cmd *invitationCreateCmd) Check(*Client) (err error) {
	cmd.expires, err = span("expires", cmd.Expires)
	return err
}

func (cmd *invitationCreateCmd) Run(ctx context.Context, a *Client) error {
	org, err := cmd.org(ctx, a)
	if err != nil {
		return err
	}
	if err := cmd.open(); err != nil {
		return err
	}
	defer cmd.discard()
	i, err := a.Invite(ctx, org, control.NewInvitation{Role: mesh.Role(cmd.Role), Email: cmd.Email, ExpiresIn: cmd.expires})
	if err != nil {
		return err
	}
	public := i
	public.Link = ""
	return cmd.hand(a, i.Link, public, i, "The first person to use the link joins as "+string(i.Role)+". It expires at "+stamp(i.Expires)+".")
}

type invitationRevokeCmd struct {
	inOrg
	ID string `arg:"" help:"ID of the invitation."`
}

func (cmd *invitationRevokeCmd) Run(ctx context.Context, a *Client) error {
	org, err := cmd.org(ctx, a)
	if err != nil {
		return err
	}
	i, err := a.RevokeInvitation(ctx, org, cmd.ID)
	if err != nil {
		return err
	}
	return a.tell(i, "Revoked invitation %s.", i.ID)
}

type invitationAcceptCmd struct {
	LinkFile string `arg:"" help:"File with the link; - reads standard input."`
}

func (cmd *invitationAcceptCmd) Run(ctx context.Context, a *Client) error {
	link, err := program.ReadSecret("invitation", cmd.LinkFile, a.std.In)
	if err != nil {
		return err
	}
	o, err := a.AcceptInvitation(ctx, inviteToken(link))
	if err != nil {
		return err
	}
	return a.tell(o, "You are now %s in %s.", o.Role, o.Name)
}

type tokenCmd struct {
	List   tokenListCmd   `cmd:"" default:"1" help:"List your API tokens."`
	Create tokenCreateCmd `cmd:"" help:"Create an API token; the token is shown only once."`
	Revoke tokenRevokeCmd `cmd:"" help:"Revoke an API token."`
}

type tokenListCmd struct{}

func (*tokenListCmd) Run(ctx context.Context, a *Client) error {
	l, err := a.Tokens(ctx)
	if err != nil {
		return err
	}
	var rows [][]string
	for _, t := range l.Tokens {
		rows = append(rows, []string{t.ID, t.Prefix + "…", words(t.Scopes), t.State, stamp(t.Expires), stamp(t.LastUsed), t.Description})
	}
	return a.show(l, "ID TOKEN SCOPES STATE EXPIRES LAST-USED DESCRIPTION", rows)
}

type tokenCreateCmd struct {
	secret
	Scope       string `help:"Scope: read, or write (includes read)." enum:"read,write" default:"read" env:"-"`
	Expires     string `help:"Lifetime (default: 30d, at most 366d)." placeholder:"DURATION" env:"-"`
	Description string `help:"Description." placeholder:"TEXT" env:"-"`

	expires int64
}

func (cmd *tokenCreateCmd) Check(*Client) (err error) {
	cmd.expires, err = span("expires", cmd.Expires)
	return err
}

func (cmd *tokenCreateCmd) Run(ctx context.Context, a *Client) error {
	if err := cmd.open(); err != nil {
		return err
	}
	defer cmd.discard()
	t, err := a.CreateToken(ctx, control.NewToken{Description: cmd.Description, Scopes: []string{cmd.Scope}, ExpiresIn: cmd.expires})
	if err != nil {
		return err
	}
	public := t
	public.Text = ""
	return cmd.hand(a, t.Text, public, t, "It expires at "+stamp(t.Expires)+". To revoke it: nexd admin token revoke "+t.ID)
}

type tokenRevokeCmd struct {
	ID string `arg:"" help:"ID of the token."`
}

func (cmd *tokenRevokeCmd) Run(ctx context.Context, a *Client) error {
	t, err := a.RevokeToken(ctx, cmd.ID)
	if err != nil {
		return err
	}
	return a.tell(t, "Revoked API token %s (%s…).", t.ID, t.Prefix)
}

type auditCmd struct {
	inOrg
	Mine   bool   `help:"Show the events of your account and API tokens instead of an organization's." env:"-"`
	Limit  int    `help:"Number of entries." default:"50" placeholder:"N" env:"-"`
	Before string `help:"Show only entries older than the entry with this ID." placeholder:"ID" env:"-"`
}

// auditPage is the number of entries of one call.
const auditPage = 100

func (cmd *auditCmd) Check(*Client) error {
	if cmd.Limit < 1 || cmd.Limit > 100_000 {
		return program.Usagef("--limit=%d must be from 1 to 100000", cmd.Limit)
	}
	return nil
}

func (cmd *auditCmd) Run(ctx context.Context, a *Client) error {
	org, err := "", error(nil)
	if !cmd.Mine {
		if org, err = cmd.org(ctx, a); err != nil {
			return err
		}
	}
	all := control.AuditList{Entries: []control.AuditEntry{}, Next: cmd.Before}
	for len(all.Entries) < cmd.Limit {
		most := min(auditPage, cmd.Limit-len(all.Entries))
		page, err := control.AuditList{}, error(nil)
		if cmd.Mine {
			page, err = a.OwnAudit(ctx, all.Next, most)
		} else {
			page, err = a.Audit(ctx, org, all.Next, most)
		}
		if err != nil {
			return err
		}
		all.Entries = append(all.Entries, page.Entries...)
		all.Next = page.Next
		if page.Next == "" || len(page.Entries) == 0 {
			break
		}
	}
	var rows [][]string
	for _, e := range all.Entries {
		rows = append(rows, []string{stamp(e.Time), e.Actor, e.Via, e.Action, e.Target, change(e), e.From, e.ID})
	}
	return a.show(all, "TIME WHO VIA ACTION TARGET CHANGE FROM ID", rows)
}

// change is the change of an entry, on one line.
func change(e control.AuditEntry) string {
	s := strings.TrimSpace(e.Before + " → " + e.After)
	if s == "→" {
		return ""
	}
	return s
}
