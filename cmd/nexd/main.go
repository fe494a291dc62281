package main

import (
	"context"
	"errors"

	"nexd/internal/program"
	"nexd/mesh"
	"nexd/node"
)

func main() { program.Main(run) }

// run is main with its environment passed in.
func run(ctx context.Context, args []string, std program.Streams) int {
	return program.Run(ctx, "nexd", args, std, parse, exitCode)
}

// exitCode distinguishes wrong usage, and a node or service that does not answer, from
// other failures.
func exitCode(err error) int {
	switch {
	case errors.Is(err, node.ErrNoService):
		return program.ExitUsage
	case program.Code(err) != program.ExitFailed:
		return program.Code(err)
	case errors.Is(err, node.ErrUnreachable):
		return program.ExitUnreachable
	case mesh.KindOf(err) == mesh.Unavailable && errors.Is(err, context.DeadlineExceeded):
		return program.ExitUnreachable
	}
	return program.ExitFailed
}
