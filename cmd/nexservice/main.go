package main

import (
	"context"

	"nexd/internal/program"
)

func main() { program.Main(run) }

// run is main with arguments and streams as parameters.
func run(ctx context.Context, args []string, std program.Streams) int {
	return program.Run(ctx, "nexservice", args, std, parse, program.Code)
}
