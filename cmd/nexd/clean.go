package main

import (
	"context"
	"fmt"

	"nexd/agent"
)

type cleanCmd struct{}

// Run removes what a killed nexd left and lists it.
func (*cleanCmd) Run(_ context.Context, c *cli) error {
	dir, err := c.stateDir()
	if err != nil {
		return err
	}
	removed, err := agent.Clean(dir, c.Interface)
	for _, r := range removed {
		fmt.Fprintln(c.std.Out, "removed", r)
	}
	if err == nil && len(removed) == 0 {
		fmt.Fprintln(c.std.Out, "nothing was left behind")
	}
	return err
}
