package main

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"nexd/internal/program"
	"nexd/mesh"
	"nexd/service/store"
)

func trimEllipsis(s string) string { return strings.TrimSuffix(s, "…") }

type deviceCmd struct {
	List   deviceListCmd   `cmd:"" help:"List the nodes of an organization."`
	Remove deviceRemoveCmd `cmd:"" help:"Remove a node: its prefixes and name are free, its key is no longer known."`
}

// deviceJSON is a node as --json prints it.
type deviceJSON struct {
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

func deviceOut(d store.Node) deviceJSON {
	return deviceJSON{d.ID, d.Name, d.Hostname, d.Key, d.OS, d.Version, d.Addresses, append([]mesh.Holding{}, d.Prefixes...), d.Endpoints, d.Created, d.LastSeen}
}

type deviceListCmd struct{ inOrg }

func (cmd *deviceListCmd) run(ctx context.Context, c *cli, std program.Streams) error {
	st, org, err := cmd.openOrg(ctx, c)
	if err != nil {
		return err
	}
	defer st.Close()
	devices, err := st.Nodes(ctx, org.ID)
	if err != nil {
		return err
	}
	out, rows := []deviceJSON{}, [][]string{}
	for _, d := range devices {
		out = append(out, deviceOut(d))
		held := make([]netip.Prefix, len(d.Prefixes))
		for i, h := range d.Prefixes {
			held[i] = h.Prefix
		}
		rows = append(rows, []string{d.Name, string(d.ID), list(d.Addresses), list(held), dash(d.OS), stamp(d.LastSeen)})
	}
	return show(std.Out, cmd.JSON, out, "NAME ID ADDRESSES PREFIXES OS LAST-SEEN", rows)
}

type deviceRemoveCmd struct {
	inOrg
	Device string `arg:"" help:"Name or ID of the node."`
}

func (cmd *deviceRemoveCmd) run(ctx context.Context, c *cli, std program.Streams) error {
	st, org, err := cmd.openOrg(ctx, c)
	if err != nil {
		return err
	}
	defer st.Close()
	d, err := st.RemoveNode(ctx, org.ID, cmd.Device)
	if err != nil {
		return err
	}
	if cmd.JSON {
		return show(std.Out, true, deviceOut(d), "", nil)
	}
	fmt.Fprintf(std.Out, "Removed %s (%s). To come back it needs a registration key.\n", d.Name, d.ID)
	return nil
}
