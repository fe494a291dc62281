package main

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"nexd/internal/program"
	"nexd/mesh"
	"nexd/service/people"
)

type prefixCmd struct {
	List    prefixListCmd    `cmd:"" help:"List the prefixes that nodes hold."`
	Release prefixReleaseCmd `cmd:"" help:"Release a prefix so that another node can use it."`
}

type prefixListCmd struct{ inOrg }

func (cmd *prefixListCmd) Run(ctx context.Context, c *cli) error {
	st, org, err := cmd.openOrg(ctx, c)
	if err != nil {
		return err
	}
	defer st.Close()
	held, err := st.Prefixes(ctx, org.ID)
	if err != nil {
		return err
	}
	rows := [][]string{}
	for i, h := range held {
		h = people.HoldingInfo(h, time.Now())
		held[i] = h
		rows = append(rows, []string{h.Prefix.String(), h.HolderName, h.State(), stamp(h.LastSeen)})
	}
	return show(c.std.Out, cmd.JSON, append([]mesh.Holding{}, held...), "PREFIX HOLDER STATE LAST-SEEN", rows)
}

type prefixReleaseCmd struct {
	inOrg
	Prefix string `arg:"" help:"The prefix, as shown by prefix list."`

	prefix netip.Prefix
}

func (cmd *prefixReleaseCmd) Check(*cli) (err error) {
	if cmd.prefix, err = mesh.ParsePrefix(cmd.Prefix); err != nil {
		return program.UsageError{Err: err}
	}
	return nil
}

func (cmd *prefixReleaseCmd) Run(ctx context.Context, c *cli) error {
	st, org, err := cmd.openOrg(ctx, c)
	if err != nil {
		return err
	}
	defer st.Close()
	h, err := st.ReleasePrefix(ctx, org.ID, cmd.prefix, "")
	if err != nil {
		return err
	}
	if cmd.JSON {
		return show(c.std.Out, true, h, "", nil)
	}
	fmt.Fprintf(c.std.Out, "Released %v, which %s held.\n", h.Prefix, h.HolderName)
	return nil
}
