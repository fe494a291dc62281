package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	code := run(ctx, os.Args[1:], streams{os.Stdin, os.Stdout, os.Stderr})
	os.Exit(code)
}

// streams are what a command reads and writes.
type streams struct {
	in       io.Reader
	out, err io.Writer
}

// Exit codes, a contract with scripts.
const (
	exitFine   = 0
	exitFailed = 1
	exitUsage  = 2
)

// run is main with its surroundings passed in.
func run(ctx context.Context, args []string, std streams) int {
	cmd, err := parse(args, std)
	if err == nil && cmd != nil { // nil: help or version was printed
		err = cmd(ctx)
	}
	var usage usageError
	switch {
	case err == nil:
		return exitFine
	case errors.As(err, &usage):
		fmt.Fprintf(std.err, "nexservice: %v\n(nexservice --help shows the commands and flags)\n", err)
		return exitUsage
	default:
		fmt.Fprintln(std.err, "nexservice:", err)
		return exitFailed
	}
}

// usageError is a command line that can never work.
type usageError struct{ err error }

func (e usageError) Error() string { return e.err.Error() }
func (e usageError) Unwrap() error { return e.err }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }
