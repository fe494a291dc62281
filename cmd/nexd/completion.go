package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

type completionCmd struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"The shell: bash, zsh or fish."`
}

// Run prints a script with the commands and flags of this version of nexd.
func (cmd *completionCmd) Run(_ context.Context, c *cli) error {
	model := c.parsed.Model
	switch cmd.Shell {
	case "fish":
		return printFish(c.std.Out, model)
	case "zsh":
		fmt.Fprint(c.std.Out, "#compdef nexd\nautoload -U +X bashcompinit && bashcompinit\n")
	}
	return printBash(c.std.Out, model)
}

// completionWords returns the words that may follow a command: its subcommands and the
// flags that it accepts.
func completionWords(n *kong.Node, root []*kong.Flag) []string {
	var out []string
	for _, child := range n.Children {
		if child.Type == kong.CommandNode && !child.Hidden {
			out = append(out, child.Name)
		}
	}
	for _, f := range slices.Concat(n.Flags, root) {
		if joins(f) && n.Type == kong.CommandNode && n.Name != "join" && n.Name != "router" && !takes(n.Name, f.Name) {
			continue
		}
		if word := "--" + f.Name; !f.Hidden && !slices.Contains(out, word) {
			out = append(out, word)
		}
	}
	return out
}

// eachCommand calls do for every command that help shows, with its path; the root's
// path is empty.
func eachCommand(n *kong.Node, path string, do func(path string, n *kong.Node)) {
	do(path, n)
	for _, child := range n.Children {
		if child.Type == kong.CommandNode && !child.Hidden {
			eachCommand(child, strings.TrimSpace(path+" "+child.Name), do)
		}
	}
}

func printBash(w io.Writer, model *kong.Application) error {
	fmt.Fprint(w, `_nexd() {
  local cur=${COMP_WORDS[COMP_CWORD]} path= w
  for w in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case "$w" in -*) ;; *) path="${path:+$path }$w" ;; esac
  done
  local all=
  case "$path" in
`)
	eachCommand(model.Node, "", func(path string, n *kong.Node) {
		fmt.Fprintf(w, "    %q) all=%q ;;\n", path, strings.Join(completionWords(n, model.Node.Flags), " "))
	})
	_, err := fmt.Fprint(w, `    *) COMPREPLY=($(compgen -f -- "$cur")); return ;;
  esac
  COMPREPLY=($(compgen -W "$all" -- "$cur"))
}
complete -o default -F _nexd nexd
`)
	return err
}

func printFish(w io.Writer, model *kong.Application) error {
	var err error
	eachCommand(model.Node, "", func(path string, n *kong.Node) {
		when := "__fish_use_subcommand"
		if path != "" {
			when = "__fish_seen_subcommand_from " + n.Name
		}
		for _, word := range completionWords(n, model.Node.Flags) {
			if flag, ok := strings.CutPrefix(word, "--"); ok {
				_, err = fmt.Fprintf(w, "complete -c nexd -n '%s' -l %s\n", when, flag)
			} else {
				_, err = fmt.Fprintf(w, "complete -c nexd -f -n '%s' -a %s\n", when, word)
			}
		}
	})
	return err
}
