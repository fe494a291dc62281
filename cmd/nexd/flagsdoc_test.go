package main

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

const flagsDoc = "../../docs/flags.md"

// TestFlagsAreDocumented compares docs/flags.md with the grammar. To write it
// again: NEXD_WRITE_DOCS=1 go test -run FlagsAreDocumented ./cmd/nexd
func TestFlagsAreDocumented(t *testing.T) {
	want := flagsPage(t)
	if os.Getenv("NEXD_WRITE_DOCS") != "" {
		if err := os.WriteFile(flagsDoc, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(flagsDoc)
	if err != nil {
		t.Fatal(err)
	}
	if string(have) != want {
		t.Errorf("%s does not match the flags; write it again with NEXD_WRITE_DOCS=1 go test -run FlagsAreDocumented ./cmd/nexd", flagsDoc)
	}
}

func flagsPage(t *testing.T) string {
	parser, err := newParser(new(cli))
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	b.WriteString(`# Flags of nexd

A test of cmd/nexd generates this document from the command line's grammar; do not edit it.

A flag overrides its environment variable, which overrides the config file. The config file is YAML.
Its keys are the names of the flags without the dashes, and ` + "`service-url`" + ` for the argument; a flag
that may be repeated takes a list. ` + "`nexd config check`" + ` reports errors in the file.

nexd reads the config file again on SIGHUP and applies changes of these flags, without dropping
connections that they do not concern:

`)
	for _, name := range flagNames(live) {
		fmt.Fprintf(&b, "- %s\n", name)
	}
	b.WriteString(`- the content of the file that ` + "`--proxy-auth-file`" + ` names

nexd logs which other flags have changed and need a restart.

`)
	b.WriteString("```yaml\nservice-url: https://mesh.example.org:8443/#pin=…\nreg-key-file: /etc/nexd/reg.key\nadvertise-cidr: [172.24.0.0/24]\nlocal-forward:\n  - 8080:node1:80\n```\n")
	eachCommand(parser.Model.Node, "", func(path string, n *kong.Node) {
		rows := flagRows(n)
		title := strings.TrimSpace("nexd " + path)
		if path == "" {
			title = "nexd, join and router"
		}
		if path != "" && n.Help != "" {
			fmt.Fprintf(&b, "\n## %s\n\n%s\n", title, n.Help)
		} else {
			fmt.Fprintf(&b, "\n## %s\n", title)
		}
		for _, a := range n.Positional {
			fmt.Fprintf(&b, "\n`%s`: %s\n", strings.ToUpper(a.Name), a.Help)
		}
		if rows != "" {
			b.WriteString("\n| flag | variable | description |\n|---|---|---|\n" + rows)
		}
	})
	b.WriteString("\n[errors.md](errors.md#exit-codes) has the exit codes.\n")
	return b.String()
}

func flagNames(names []string) (out []string) {
	for _, n := range names {
		out = append(out, "`--"+n+"`")
	}
	return out
}

func flagRows(n *kong.Node) string {
	var b strings.Builder
	for _, f := range n.Flags {
		if f.Hidden {
			continue
		}
		name := "--" + f.Name
		if f.Short != 0 {
			name = "-" + string(f.Short) + ", " + name
		}
		if !f.IsBool() && f.PlaceHolder != "" {
			name += "=" + f.PlaceHolder
		}
		env := ""
		if len(f.Envs) > 0 && f.Envs[0] != "-" {
			env = "`" + f.Envs[0] + "`"
		}
		help := strings.ReplaceAll(f.Help, "|", "\\|")
		if f.HasDefault && !f.IsBool() && !strings.Contains(help, "default:") {
			help += " (default: " + f.Default + ")"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", strings.ReplaceAll(name, "|", "\\|"), env, help)
	}
	return b.String()
}
