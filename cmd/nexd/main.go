package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"nexd/agent"
	"nexd/mesh"
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
	exitFine        = 0
	exitFailed      = 1
	exitUsage       = 2
	exitUnreachable = 3
)

// errSaid is returned by a command that has already told the user.
var errSaid = errors.New("said")

// run is main with its surroundings passed in.
func run(ctx context.Context, args []string, std streams) int {
	cmd, err := parse(args, std)
	if err != nil {
		return report(std.err, err)
	}
	if cmd == nil { // help or version was printed
		return exitFine
	}
	return report(std.err, cmd(ctx))
}

// usageError is a command line that can never work.
type usageError struct{ err error }

func (e usageError) Error() string { return e.err.Error() }
func (e usageError) Unwrap() error { return e.err }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// report tells the user what failed and picks the exit code.
func report(w io.Writer, err error) int {
	var usage usageError
	switch {
	case err == nil:
		return exitFine
	case errors.Is(err, errSaid):
		return exitFailed
	case errors.As(err, &usage), errors.Is(err, agent.ErrNoService):
		fmt.Fprintf(w, "nexd: %v\n(nexd --help shows the commands and flags)\n", err)
		return exitUsage
	case errors.Is(err, agent.ErrUnreachable), errors.Is(err, errNotRunning):
		fmt.Fprintln(w, "nexd:", err)
		return exitUnreachable
	case mesh.KindOf(err) == mesh.Unavailable && errors.Is(err, context.DeadlineExceeded):
		fmt.Fprintln(w, "nexd:", err)
		return exitUnreachable
	default:
		fmt.Fprintln(w, "nexd:", err)
		return exitFailed
	}
}
