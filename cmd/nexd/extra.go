package main

import (
	"context"
	"fmt"

	"github.com/alecthomas/kong"

	"nexd/agent/localapi"
	"nexd/internal/program"
)

// extraCommands are the small commands for scripts and shells.
type extraCommands struct {
	NC         ncCmd         `cmd:"" name:"nc" help:"Connect standard input and output to HOST PORT in the mesh; fit for ssh's ProxyCommand."`
	Env        envCmd        `cmd:"" help:"Print the proxy variables for a shell: eval \"$(nexd env)\"."`
	Netcheck   netcheckCmd   `cmd:"" help:"Measure what this network lets a node do: the service, the relay, UDP, the NAT, path MTU. Works before joining, too."`
	Clean      cleanCmd      `cmd:"" help:"Remove what a killed nexd in TUN mode left on this host."`
	ConfigCmd  configCmd     `cmd:"" name:"config" help:"Look at the config file."`
	Completion completionCmd `cmd:"" help:"Print the completion of a shell: bash, zsh or fish."`
}

// offline is the action of a command that needs no running node; nil if name is
// none of them.
func (c *cli) offline(name string, ctx *kong.Context, std program.Streams) action {
	switch name {
	case "config check":
		return func(context.Context) error { return c.ConfigCmd.Check.run(c, std) }
	case "clean":
		return func(ctx context.Context) error { return c.Clean.run(ctx, c, std) }
	case "completion":
		return func(context.Context) error { return c.Completion.run(ctx.Model, std) }
	}
	return nil
}

func (c *cli) extraAction(name string, _ *kong.Context, client *localapi.Client, std program.Streams) (action, error) {
	switch name {
	case "nc":
		return func(ctx context.Context) error { return c.NC.run(ctx, client, std) }, nil
	case "env":
		return func(ctx context.Context) error { return c.Env.run(ctx, client, std) }, nil
	}
	return nil, fmt.Errorf("command %q has no action", name)
}
