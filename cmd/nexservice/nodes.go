package main

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"nexd/mesh"
	"nexd/service/store"
)

func trimEllipsis(s string) string { return strings.TrimSuffix(s, "…") }

type nodeCmd struct {
	List   nodeListCmd   `cmd:"" help:"List the nodes of an organization."`
	Remove nodeRemoveCmd `cmd:"" help:"Remove a node; frees its name and prefixes and forgets its key."`
}

// nodeJSON is a node as --json prints it.
type nodeJSON struct {
	ID        mesh.NodeID      `json:"id"`
	Name      string           `json:"name"`
	Hostname  string           `json:"hostname"`
	Key       mesh.Key         `json:"key"`
	OS        string           `json:"os"`
	Version   string           `json:"version"`
	Addresses []netip.Addr     `json:"addresses"`
	Prefixes  []mesh.Holding   `json:"prefixes"`
	Endpoints []netip.AddrPort `json:"endpoints"`
	Created   time.Time        `json:"created"`
	LastSeen  time.Time        `json:"last_seen,omitzero"`
}

func nodeOut(d store.Node) nodeJSON {
	return nodeJSON{d.ID, d.Name, d.Hostname, d.Key, d.OS, d.Version, d.Addresses, append([]mesh.Holding{}, d.Prefixes...), d.Endpoints, d.Created, d.LastSeen}
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
	out, rows := []nodeJSON{}, [][]string{}
	for _, d := range nodes {
		out = append(out, nodeOut(d))
		held := make([]netip.Prefix, len(d.Prefixes))
		for i, h := range d.Prefixes {
			held[i] = h.Prefix
		}
		rows = append(rows, []string{d.Name, string(d.ID), list(d.Addresses), list(held), dash(d.OS), stamp(d.LastSeen)})
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
	d, err := st.RemoveNode(ctx, org.ID, cmd.Node)
	if err != nil {
		return err
	}
	if cmd.JSON {
		return show(c.std.Out, true, nodeOut(d), "", nil)
	}
	fmt.Fprintf(c.std.Out, "Removed %s (%s). To come back it needs a registration key.\n", d.Name, d.ID)
	return nil
}
