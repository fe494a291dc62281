package main

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"nexd/mesh"
	"nexd/service/store"
)

type orgCmd struct {
	Create orgCreateCmd `cmd:"" help:"Create an organization, which is a separate mesh."`
	List   orgListCmd   `cmd:"" help:"List organizations."`
}

type orgCreateCmd struct {
	Name string `arg:"" help:"Name of the organization, a DNS label."`
	JSON bool   `name:"json" help:"Print JSON." env:"-"`
}

// orgJSON is an organization as --json prints it.
type orgJSON struct {
	ID      mesh.OrgID     `json:"id"`
	Name    string         `json:"name"`
	Pools   []netip.Prefix `json:"pools"`
	Created time.Time      `json:"created"`
}

func orgOut(o store.Organization) orgJSON { return orgJSON{o.ID, o.Name, o.Pools(), o.Created.UTC()} }

func (cmd *orgCreateCmd) Run(ctx context.Context, c *cli) error {
	st, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer st.Close()
	if _, err := st.Meta(ctx); err != nil { // the database must not be empty
		return err
	}
	o, err := st.CreateOrganization(ctx, cmd.Name, "")
	if err != nil {
		return err
	}
	if cmd.JSON {
		return show(c.std.Out, true, orgOut(o), "", nil)
	}
	fmt.Fprintf(c.std.Out, "Created organization %s. Let nodes join it with a key:\n  nexservice key create --db=%s --org=%s\n", o.Name, c.dsn(), o.Name)
	return nil
}

type orgListCmd struct {
	JSON bool `name:"json" help:"Print JSON." env:"-"`
}

func (cmd *orgListCmd) Run(ctx context.Context, c *cli) error {
	st, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer st.Close()
	orgs, err := st.Organizations(ctx)
	if err != nil {
		return err
	}
	out, rows := []orgJSON{}, [][]string{}
	for _, o := range orgs {
		out = append(out, orgOut(o))
		rows = append(rows, []string{o.Name, string(o.ID), list(o.Pools()), stamp(o.Created)})
	}
	return show(c.std.Out, cmd.JSON, out, "NAME ID POOLS CREATED", rows)
}

// inOrg is the flags of commands that work on one organization.
type inOrg struct {
	Org  string `help:"Name of the organization." default:"default" placeholder:"NAME"`
	JSON bool   `name:"json" help:"Print JSON." env:"-"`
}

// openOrg opens the database and finds the organization.
func (i inOrg) openOrg(ctx context.Context, c *cli) (*store.Store, store.Organization, error) {
	st, err := c.open(ctx)
	if err != nil {
		return nil, store.Organization{}, err
	}
	if _, err = st.Meta(ctx); err == nil { // an empty database has an error of its own
		var o store.Organization
		if o, err = st.OrganizationByName(ctx, i.Org); err == nil {
			return st, o, nil
		}
	}
	st.Close()
	return nil, store.Organization{}, err
}

type renewEpochCmd struct{}

func (cmd *renewEpochCmd) Run(ctx context.Context, c *cli) error {
	st, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer st.Close()
	epoch, err := st.RenewEpoch(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(c.std.Out, "The epoch is now %s; agents take this database's maps when they next connect.\n", epoch)
	return nil
}
