package program

import (
	"context"
	"errors"
	"fmt"

	"github.com/alecthomas/kong"
)

// Action is a parsed command, ready to run.
type Action func(context.Context) error

// Command is a command with its parsed flags; every command of a grammar is one. E is the
// command's environment, such as the flags that all commands share, the streams or a
// client.
type Command[E any] interface {
	Run(ctx context.Context, env E) error
}

// Checker is a command that checks its flags before anything runs.
type Checker[E any] interface {
	Check(env E) error
}

// Takes reports whether the selected command works with an E.
func Takes[E any](parsed *kong.Context) bool {
	_, ok := selected(parsed).(Command[E])
	return ok
}

// Prepare checks the selected command and returns its action.
func Prepare[E any](parsed *kong.Context, env E) (Action, error) {
	cmd, ok := selected(parsed).(Command[E])
	if !ok {
		return nil, fmt.Errorf("command %q does nothing", Path(parsed.Selected()))
	}
	if c, ok := cmd.(Checker[E]); ok {
		if err := c.Check(env); err != nil {
			return nil, err
		}
	}
	return func(ctx context.Context) error { return cmd.Run(ctx, env) }, nil
}

func selected(parsed *kong.Context) any {
	if parsed.Selected() == nil {
		return nil
	}
	return parsed.Selected().Target.Addr().Interface()
}

// Path returns the full name of a command: "forward add".
func Path(n *kong.Node) string {
	name := n.Name
	for p := n.Parent; p != nil && p.Type == kong.CommandNode; p = p.Parent {
		name = p.Name + " " + name
	}
	return name
}

// Given reports whether a flag comes from the command line, and not from the environment
// or a config file.
func Given(parsed *kong.Context, flag string) bool {
	for _, p := range parsed.Path {
		if p.Flag != nil && !p.Resolved && p.Flag.Name == flag {
			return true
		}
	}
	return false
}

// Parser reads a program's command line.
type Parser struct {
	*kong.Kong
	printed bool
}

// exitCodes is the last line of every help.
const exitCodes = "Exit codes: 0 success, 1 failure, 2 wrong usage, 3 not running or unreachable."

// Help prints a command's help.
func Help(options kong.HelpOptions, ctx *kong.Context) error {
	if err := kong.DefaultHelpPrinter(options, ctx); err != nil {
		return err
	}
	_, err := fmt.Fprintf(ctx.Stdout, "\n%s\n", exitCodes)
	return err
}

// NewParser returns the parser of a grammar, which is a pointer to a struct with kong's
// tags. Every flag has an environment variable that starts with envPrefix.
func NewParser(grammar any, envPrefix string, std Streams, options ...kong.Option) (*Parser, error) {
	p := new(Parser)
	var err error
	p.Kong, err = kong.New(grammar, append([]kong.Option{
		kong.Vars{"version": Version()},
		kong.DefaultEnvars(envPrefix),
		kong.Writers(std.Out, std.Err),
		kong.Help(Help),
		kong.Exit(func(int) { p.printed = true }),
	}, options...)...)
	if err != nil {
		return nil, fmt.Errorf("command line grammar: %w", err)
	}
	return p, nil
}

// Parse reads args. A nil context without an error means that it printed the help or the
// version.
func (p *Parser) Parse(args []string) (*kong.Context, error) {
	parsed, err := p.Kong.Parse(args)
	switch {
	case p.printed:
		return nil, nil
	case err != nil:
		return nil, UsageError{Err: err}
	}
	return parsed, nil
}

// ErrReported is returned by a command that has already told the user what failed.
var ErrReported = errors.New("already reported")

// LoggedError is the error of a command that has already written it to its log.
type LoggedError struct{ Err error }

func (e LoggedError) Error() string { return e.Err.Error() }
func (e LoggedError) Unwrap() error { return e.Err }

// Run parses args and runs the command. It tells the user what failed and returns the
// exit code; code is the exit code of an error that is not [ErrReported]. A [LoggedError] is not
// printed.
func Run(ctx context.Context, name string, args []string, std Streams, parse func([]string, Streams) (Action, error), code func(error) int) int {
	act, err := parse(args, std)
	if err == nil && act != nil { // nil: parse printed the help or the version
		err = act(ctx)
	}
	switch {
	case err == nil:
		return ExitFine
	case errors.Is(err, ErrReported):
		return ExitFailed
	}
	var logged LoggedError
	if errors.As(err, &logged) {
		return code(err)
	}
	fmt.Fprintf(std.Err, "%s: %v\n", name, err)
	c := code(err)
	if c == ExitUsage {
		fmt.Fprintf(std.Err, "(%s --help shows the commands and flags)\n", name)
	}
	return c
}

// Code is the exit code of a [UsageError], of an [UnreachableError] or of any other
// error.
func Code(err error) int {
	var usage UsageError
	var unreachable UnreachableError
	switch {
	case errors.As(err, &usage):
		return ExitUsage
	case errors.As(err, &unreachable):
		return ExitUnreachable
	}
	return ExitFailed
}
