package main

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"nexd/control"
	"nexd/internal/program"
	"nexd/service/people"
)

func trimEllipsis(s string) string { return strings.TrimSuffix(s, "…") }

type nodeCmd struct {
	List   nodeListCmd   `cmd:"" help:"List the nodes of an organization."`
	Remove nodeRemoveCmd `cmd:"" help:"Remove a node; frees its name and prefixes and forgets its key."`
}

type nodeListCmd struct{ inOrg }

func (cmd *nodeListCmd) Run(ctx context.Context, c *cli) error {
	st, org, err := cmd.openOrg(ctx, c)
	if err != nil {
		return err
	}
	defer st.Close()
	nodes, err := st.Nodes(ctx, org.ID)
	if err != nil {
		return err
	}
	out, rows := []control.NodeInfo{}, [][]string{}
	for _, n := range nodes {
		out = append(out, people.NodeInfo(n, time.Now()))
		held := make([]netip.Prefix, len(n.Prefixes))
		for i, h := range n.Prefixes {
			held[i] = h.Prefix
		}
		rows = append(rows, []string{n.Name, string(n.ID), list(n.Addresses), list(held), program.Dash(n.OS), stamp(n.LastSeen)})
	}
	return show(c.std.Out, cmd.JSON, out, "NAME ID ADDRESSES PREFIXES OS LAST-SEEN", rows)
}

type nodeRemoveCmd struct {
	inOrg
	Node string `arg:"" help:"Name or ID of the node."`
}

func (cmd *nodeRemoveCmd) Run(ctx context.Context, c *cli) error {
	st, org, err := cmd.openOrg(ctx, c)
	if err != nil {
		return err
	}
	defer st.Close()
	n, err := st.RemoveNode(ctx, org.ID, cmd.Node)
	if err != nil {
		return err
	}
	if cmd.JSON {
		return show(c.std.Out, true, people.NodeInfo(n, time.Now()), "", nil)
	}
	fmt.Fprintf(c.std.Out, "Removed %s (%s). It needs a registration key to join again.\n", n.Name, n.ID)
	return nil
}
