package main

import (
	"context"
	"fmt"

	"nexd/agent"
)

type cleanCmd struct{}

// run removes what a killed nexd left and lists it.
func (cleanCmd) run(_ context.Context, c *cli, std streams) error {
	dir, err := c.stateDir()
	if err != nil {
		return err
	}
	removed, err := agent.Clean(dir, c.Interface)
	for _, r := range removed {
		fmt.Fprintln(std.out, "removed", r)
	}
	if err == nil && len(removed) == 0 {
		fmt.Fprintln(std.out, "nothing was left behind")
	}
	return err
}
