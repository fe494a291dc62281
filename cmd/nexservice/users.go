package main

import (
	"context"
	"fmt"
	"time"

	"nexd/internal/program"
	"nexd/mesh"
	"nexd/service/people"
	"nexd/service/store"
)

type userCmd struct {
	Create      userCreateCmd   `cmd:"" help:"Create a user with a password."`
	List        userListCmd     `cmd:"" help:"List users."`
	SetPassword userPasswordCmd `cmd:"" help:"Set a user's password and end the user's sessions."`
	Remove      userRemoveCmd   `cmd:"" help:"Remove a user's account, sessions, API tokens and memberships."`
	Token       userTokenCmd    `cmd:"" help:"Create an API token of a user, for nexd admin."`
}

// userJSON is a user as --json prints it.
type userJSON struct {
	ID            string            `json:"id"`
	Email         string            `json:"email"`
	Name          string            `json:"name,omitempty"`
	Password      bool              `json:"password"` // has one
	Organizations map[string]string `json:"organizations"`
	Created       time.Time         `json:"created"`
}

func userOut(ctx context.Context, st *store.Store, u store.User) (userJSON, error) {
	ms, err := st.Memberships(ctx, u.ID)
	out := userJSON{ID: u.ID, Email: u.Email, Name: u.Name, Password: u.PasswordHash != "", Organizations: map[string]string{}, Created: u.Created}
	for _, m := range ms {
		out.Organizations[m.Organization.Name] = string(m.Role)
	}
	return out, err
}

type userCreateCmd struct {
	Email        string `arg:"" help:"E-mail address."`
	PasswordFile string `required:"" help:"File with the password; - reads standard input." placeholder:"FILE"`
	Name         string `help:"Display name." placeholder:"TEXT"`
	Org          string `help:"Organization to join (default: a new organization of the user's own)." placeholder:"NAME"`
	Role         string `help:"Role in --org: owner, admin, member or auditor." default:"member"`
	JSON         bool   `name:"json" help:"Print JSON." env:"-"`
}

func (cmd *userCreateCmd) Check(*cli) error {
	if err := mesh.Role(cmd.Role).Check(); err != nil {
		return program.UsageError{Err: fmt.Errorf("--role: %w", err)}
	}
	return nil
}

func (cmd *userCreateCmd) Run(ctx context.Context, c *cli) error {
	password, err := readPassword(cmd.PasswordFile, c.std.In)
	if err != nil {
		return err
	}
	hash, err := people.HashPassword(password)
	if err != nil {
		return err
	}
	st, err := c.openFilled(ctx)
	if err != nil {
		return err
	}
	defer st.Close()
	p := store.NewPerson{Email: cmd.Email, Name: cmd.Name, PasswordHash: hash}
	var org store.Organization
	if cmd.Org != "" {
		if org, err = st.OrganizationByName(ctx, cmd.Org); err != nil {
			return err
		}
	} else {
		has, err := st.HasUsers(ctx)
		if err != nil {
			return err
		}
		p.Own = store.OwnName(!has, cmd.Email)
	}
	u, err := st.AddPerson(ctx, p)
	if err != nil {
		return err
	}
	if org.ID != "" {
		if err := st.SetMembership(ctx, org.ID, u.ID, mesh.Role(cmd.Role)); err != nil {
			return err
		}
		if err := st.SetDefaultOrganization(ctx, org.ID, u.ID); err != nil {
			return err
		}
	}
	out, err := userOut(ctx, st, u)
	if err != nil || cmd.JSON {
		return firstOf(err, func() error { return show(c.std.Out, true, out, "", nil) })
	}
	fmt.Fprintf(c.std.Out, "Created user %s, %s.\n", u.Email, places(out.Organizations))
	return nil
}

func firstOf(err error, then func() error) error {
	if err != nil {
		return err
	}
	return then()
}

// places lists organizations with roles for a table cell.
func places(orgs map[string]string) string {
	text := ""
	for _, name := range sortedKeys(orgs) {
		if text != "" {
			text += ", "
		}
		text += orgs[name] + " of " + name
	}
	return program.Dash(text)
}

// openFilled opens a database that is not empty.
func (c *cli) openFilled(ctx context.Context) (*store.Store, error) {
	st, err := c.open(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := st.Meta(ctx); err != nil {
		st.Close()
		return nil, err
	}
	return st, nil
}

// openUser opens a database and finds a user in it.
func (c *cli) openUser(ctx context.Context, email string) (*store.Store, store.User, error) {
	st, err := c.openFilled(ctx)
	if err != nil {
		return nil, store.User{}, err
	}
	u, err := st.UserByEmail(ctx, email)
	if err != nil {
		st.Close()
	}
	return st, u, err
}

type userListCmd struct {
	JSON bool `name:"json" help:"Print JSON." env:"-"`
}

func (cmd *userListCmd) Run(ctx context.Context, c *cli) error {
	st, err := c.openFilled(ctx)
	if err != nil {
		return err
	}
	defer st.Close()
	us, err := st.Users(ctx)
	if err != nil {
		return err
	}
	out, rows := []userJSON{}, [][]string{}
	for _, u := range us {
		v, err := userOut(ctx, st, u)
		if err != nil {
			return err
		}
		out = append(out, v)
		rows = append(rows, []string{v.Email, v.ID, program.Dash(v.Name), places(v.Organizations), stamp(v.Created)})
	}
	return show(c.std.Out, cmd.JSON, out, "EMAIL ID NAME ORGANIZATIONS CREATED", rows)
}

type userPasswordCmd struct {
	Email        string `arg:"" help:"E-mail address."`
	PasswordFile string `required:"" help:"File with the new password; - reads standard input." placeholder:"FILE"`
}

func (cmd *userPasswordCmd) Run(ctx context.Context, c *cli) error {
	password, err := readPassword(cmd.PasswordFile, c.std.In)
	if err != nil {
		return err
	}
	hash, err := people.HashPassword(password)
	if err != nil {
		return err
	}
	st, u, err := c.openUser(ctx, cmd.Email)
	if err != nil {
		return err
	}
	defer st.Close()
	if err := st.SetPasswordHash(ctx, u.ID, hash); err != nil {
		return err
	}
	fmt.Fprintf(c.std.Out, "Set the password of %s; their sessions have ended, their API tokens stay.\n", u.Email)
	return nil
}

type userRemoveCmd struct {
	Email string `arg:"" help:"E-mail address."`
	JSON  bool   `name:"json" help:"Print JSON." env:"-"`
}

func (cmd *userRemoveCmd) Run(ctx context.Context, c *cli) error {
	st, u, err := c.openUser(ctx, cmd.Email)
	if err != nil {
		return err
	}
	defer st.Close()
	out, err := userOut(ctx, st, u)
	if err != nil {
		return err
	}
	ms, err := st.RemoveUser(ctx, u.ID)
	if err != nil || cmd.JSON {
		return firstOf(err, func() error { return show(c.std.Out, true, out, "", nil) })
	}
	fmt.Fprintf(c.std.Out, "Removed %s (%s). Their sessions and API tokens have ended; nodes they approved stay.\n", u.Email, places(out.Organizations))
	for _, m := range ms {
		left, err := st.Members(ctx, m.Organization.ID)
		if err != nil {
			return err
		}
		name := m.Organization.Name
		switch {
		case len(left) == 0:
			fmt.Fprintf(c.std.Out, "Organization %s has no members left. Its nodes stay (nexservice node list --org=%s); to add an owner: nexservice user create EMAIL --org=%s --role=owner\n", name, name, name)
		case m.Role.Manages():
			fmt.Fprintf(c.std.Out, "They may still have registration keys of %s: nexservice key list --org=%s\n", name, name)
		}
	}
	return nil
}

type userTokenCmd struct {
	Email       string        `arg:"" help:"E-mail address."`
	Scope       string        `help:"Scope: read, or write (includes read)." default:"read" enum:"read,write"`
	Expires     time.Duration `help:"Lifetime." default:"720h" placeholder:"DURATION"`
	Description string        `help:"Description." placeholder:"TEXT"`
	TokenOut    string        `help:"Write the token to this file (mode 0600) instead of standard output." placeholder:"FILE"`
}

func (cmd *userTokenCmd) Check(*cli) error {
	if cmd.Expires <= 0 {
		return program.Usagef("--expires must be positive")
	}
	return nil
}

func (cmd *userTokenCmd) Run(ctx context.Context, c *cli) error {
	st, u, err := c.openUser(ctx, cmd.Email)
	if err != nil {
		return err
	}
	defer st.Close()
	out, err := newSecretFile(cmd.TokenOut, c.std.Out)
	if err != nil {
		return err
	}
	defer out.discard()
	t, text, err := st.CreateAPIToken(ctx, u.ID, cmd.Description, cmd.Scope, cmd.Expires)
	if err != nil {
		return err
	}
	if err := out.write(text); err != nil {
		return err
	}
	switch cmd.TokenOut {
	case "":
		fmt.Fprintln(c.std.Out, text)
		fmt.Fprintf(c.std.Err, "The token is shown only once. It expires at %s.\n", stamp(t.Expires))
	case "-":
	default:
		fmt.Fprintf(c.std.Out, "Created API token %s (%s…) and wrote it to %s.\n", t.ID, t.Prefix, cmd.TokenOut)
	}
	return nil
}
