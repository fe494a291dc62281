package program_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"nexd/internal/program"
)

// grammar is a command line with a command for each kind of environment.
type grammar struct {
	std    program.Streams
	parsed *kong.Context

	Loud bool     `help:"Shout."`
	Say  sayCmd   `cmd:"" help:"Say a word."`
	Box  struct { // commands that work with something else
		Open openCmd `cmd:""`
	} `cmd:""`
	Idle struct{} `cmd:""`
}

type sayCmd struct {
	Word string `arg:""`
}

func (s *sayCmd) Check(*grammar) error {
	if s.Word == "fie" {
		return program.Usagef("%q is no word", s.Word)
	}
	return nil
}

func (s *sayCmd) Run(_ context.Context, g *grammar) error {
	switch s.Word {
	case "sorry":
		return errors.New("cannot say it")
	case "quiet":
		return program.ErrReported
	}
	word := s.Word
	if g.Loud {
		word = strings.ToUpper(word)
	}
	_, err := g.std.Out.Write([]byte(word))
	return err
}

type box struct{ opened int }

type openCmd struct{}

func (*openCmd) Run(_ context.Context, b *box) error { b.opened++; return nil }

func TestRun(t *testing.T) {
	var b box
	parse := func(args []string, std program.Streams) (program.Action, error) {
		g := &grammar{std: std}
		p, err := program.NewParser(g, "PROG", std, kong.Name("prog"))
		if err != nil {
			return nil, err
		}
		if g.parsed, err = p.Parse(args); g.parsed == nil {
			return nil, err
		}
		if program.Takes[*box](g.parsed) {
			return program.Prepare(g.parsed, &b)
		}
		return program.Prepare(g.parsed, g)
	}
	for _, tt := range []struct {
		args, out, err string
		code           int
	}{
		{"say hi", "hi", "", program.ExitFine},
		{"say hi --loud", "HI", "", program.ExitFine},
		{"box open", "", "", program.ExitFine},
		{"say fie", "", "prog: \"fie\" is no word\n(prog --help shows the commands and flags)\n", program.ExitUsage},
		{"say", "", "prog: expected \"<word>\"\n(prog --help shows the commands and flags)\n", program.ExitUsage},
		{"say sorry", "", "prog: cannot say it\n", program.ExitFailed},
		{"say quiet", "", "", program.ExitFailed},
		{"idle", "", "prog: command \"idle\" does nothing\n", program.ExitFailed},
	} {
		var out, errs bytes.Buffer
		code := program.Run(t.Context(), "prog", strings.Fields(tt.args), program.Streams{Out: &out, Err: &errs}, parse, program.Code)
		if code != tt.code || out.String() != tt.out || errs.String() != tt.err {
			t.Errorf("%s: exit %d, %q, %q; want %d, %q, %q", tt.args, code, &out, &errs, tt.code, tt.out, tt.err)
		}
	}
	if b.opened != 1 {
		t.Errorf("opened %d times", b.opened)
	}
	var out bytes.Buffer
	if code := program.Run(t.Context(), "prog", []string{"say", "--help"}, program.Streams{Out: &out, Err: &out}, parse, program.Code); code != program.ExitFine || !strings.Contains(out.String(), "Say a word.") || !strings.HasSuffix(out.String(), "\nExit codes: 0 success, 1 failure, 2 wrong usage, 3 not running or unreachable.\n") {
		t.Errorf("help: exit %d\n%s", code, &out)
	}
}

func TestGivenAndPath(t *testing.T) {
	t.Setenv("PROG_LOUD", "true")
	for line, want := range map[string]bool{"box open": false, "box open --loud": true, "--loud box open": true} {
		var g grammar
		p, err := program.NewParser(&g, "PROG", program.Streams{})
		if err != nil {
			t.Fatal(err)
		}
		parsed, err := p.Parse(strings.Fields(line))
		if err != nil || !g.Loud || program.Given(parsed, "loud") != want || program.Path(parsed.Selected()) != "box open" {
			t.Errorf("%s: loud %v, given %v, path %q, %v", line, g.Loud, program.Given(parsed, "loud"), program.Path(parsed.Selected()), err)
		}
	}
}
