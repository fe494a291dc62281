package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"nexd/agent"
	"nexd/internal/program"
	"nexd/mesh"
)

func main() { program.Main(run) }

// errSaid is returned by a command that has already told the user.
var errSaid = errors.New("said")

// run is main with its surroundings passed in.
func run(ctx context.Context, args []string, std program.Streams) int {
	cmd, err := parse(args, std)
	if err != nil {
		return report(std.Err, err)
	}
	if cmd == nil { // help or version was printed
		return program.ExitFine
	}
	return report(std.Err, cmd(ctx))
}

// report tells the user what failed and picks the exit code.
func report(w io.Writer, err error) int {
	var usage program.UsageError
	switch {
	case err == nil:
		return program.ExitFine
	case errors.Is(err, errSaid):
		return program.ExitFailed
	case errors.As(err, &usage), errors.Is(err, agent.ErrNoService):
		fmt.Fprintf(w, "nexd: %v\n(nexd --help shows the commands and flags)\n", err)
		return program.ExitUsage
	case errors.Is(err, agent.ErrUnreachable), errors.Is(err, errNotRunning):
		fmt.Fprintln(w, "nexd:", err)
		return program.ExitUnreachable
	case mesh.KindOf(err) == mesh.Unavailable && errors.Is(err, context.DeadlineExceeded):
		fmt.Fprintln(w, "nexd:", err)
		return program.ExitUnreachable
	default:
		fmt.Fprintln(w, "nexd:", err)
		return program.ExitFailed
	}
}
