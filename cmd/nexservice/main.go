package main

import (
	"context"
	"errors"
	"fmt"

	"nexd/internal/program"
)

func main() { program.Main(run) }

// run is main with its surroundings passed in.
func run(ctx context.Context, args []string, std program.Streams) int {
	cmd, err := parse(args, std)
	if err == nil && cmd != nil { // nil: help or version was printed
		err = cmd(ctx)
	}
	var usage program.UsageError
	switch {
	case err == nil:
		return program.ExitFine
	case errors.As(err, &usage):
		fmt.Fprintf(std.Err, "nexservice: %v\n(nexservice --help shows the commands and flags)\n", err)
		return program.ExitUsage
	default:
		fmt.Fprintln(std.Err, "nexservice:", err)
		return program.ExitFailed
	}
}
