package main

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"

	"nexd/agent/localapi"
	"nexd/internal/program"
	"nexd/mesh"
)

type ipCmd struct {
	Node string `arg:"" optional:"" help:"Name of a node (default: this one)."`
	Four bool   `name:"4" short:"4" help:"Print only the IPv4 address." env:"-" xor:"family"`
	Six  bool   `name:"6" short:"6" help:"Print only the IPv6 address." env:"-" xor:"family"`
}

// Run implements program.Command.
func (cmd *ipCmd) Run(ctx context.Context, c *cli) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, localTimeout)
	defer cancel()
	st, err := client.Status(ctx)
	if err != nil {
		return asked(err)
	}
	addrs, err := addressesOf(st, cmd.Node)
	if err != nil {
		return err
	}
	printed := 0
	for _, a := range addrs {
		if cmd.Four && !a.Is4() || cmd.Six && a.Is4() {
			continue
		}
		fmt.Fprintln(c.std.Out, a)
		printed++
	}
	if printed == 0 {
		family := map[bool]string{true: "IPv4", false: "IPv6"}[cmd.Four]
		return fmt.Errorf("%s has no %s address", cmp.Or(cmd.Node, "this node"), family)
	}
	return nil
}

// addressesOf returns the mesh addresses of a node; an empty name is the running node itself.
func addressesOf(st localapi.Status, name string) ([]netip.Addr, error) {
	if len(st.Node.Addresses) == 0 {
		return nil, program.UnreachableError{Err: fmt.Errorf("this node has no address yet: it is %s", st.State)}
	}
	if name == "" {
		return st.Node.Addresses, nil
	}
	wanted := mesh.NodeName(name)
	if wanted == st.Node.Name {
		return st.Node.Addresses, nil
	}
	names := []string{st.Node.Name}
	for _, p := range st.Peers {
		if p.Name == wanted {
			return p.Addresses, nil
		}
		names = append(names, p.Name)
	}
	if near := nearest(wanted, names); near != "" {
		return nil, fmt.Errorf("no node %q in organization %s; did you mean %s?", name, st.Organization, near)
	}
	return nil, fmt.Errorf("no node %q in organization %s; nexd status lists the nodes", name, st.Organization)
}
