package main

import (
	"context"
	"time"

	"nexd/internal/program"
	"nexd/mesh"
)

type auditCmd struct {
	inOrg
	People bool `help:"Show the events of accounts and API tokens, which belong to no organization." env:"-"`
	Limit  int  `help:"Number of entries." default:"50" placeholder:"N"`
}

func (cmd *auditCmd) Check(*cli) error {
	if cmd.Limit < 1 {
		return program.Usagef("--limit must be positive")
	}
	return nil
}

// auditJSON is an entry of the audit as --json prints it.
type auditJSON struct {
	Time   time.Time  `json:"time"`
	Org    mesh.OrgID `json:"organization_id"`
	Actor  string     `json:"actor"`
	Via    string     `json:"via"`
	Action string     `json:"action"`
	Target string     `json:"target"`
	Before string     `json:"before,omitempty"`
	After  string     `json:"after,omitempty"`
	From   string     `json:"from,omitempty"`
}

func (cmd *auditCmd) Run(ctx context.Context, c *cli) error {
	st, org, err := cmd.openOrg(ctx, c)
	if err != nil {
		return err
	}
	defer st.Close()
	id := org.ID
	if cmd.People {
		id = ""
	}
	es, err := st.Audit(ctx, id, "", cmd.Limit)
	if err != nil {
		return err
	}
	out, rows := []auditJSON{}, [][]string{}
	for _, e := range es {
		v := auditJSON{Time: e.Time, Org: e.Org, Actor: e.Actor.Name, Via: e.Actor.Via, Action: e.Action, Target: e.Target, Before: e.Before, After: e.After}
		if e.Actor.From.IsValid() {
			v.From = e.Actor.From.String()
		}
		out = append(out, v)
		rows = append(rows, []string{stamp(v.Time), v.Actor, v.Action, v.Target, program.Dash(v.From)})
	}
	return show(c.std.Out, cmd.JSON, out, "TIME ACTOR ACTION TARGET FROM", rows)
}
