package main

import (
	"context"
	"fmt"

	"nexd/agent"
	"nexd/internal/program"
)

type cleanCmd struct{}

// run removes what a killed nexd left and lists it.
func (cleanCmd) run(_ context.Context, c *cli, std program.Streams) error {
	dir, err := c.stateDir()
	if err != nil {
		return err
	}
	removed, err := agent.Clean(dir, c.Interface)
	for _, r := range removed {
		fmt.Fprintln(std.Out, "removed", r)
	}
	if err == nil && len(removed) == 0 {
		fmt.Fprintln(std.Out, "nothing was left behind")
	}
	return err
}
