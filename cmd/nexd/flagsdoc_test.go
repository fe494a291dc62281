package main

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

const flagsDoc = "../../docs/flags.md"

// TestFlagsAreDocumented keeps docs/flags.md what the grammar says. To write it
// anew: NEXD_WRITE_DOCS=1 go test -run FlagsAreDocumented ./cmd/nexd
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
		t.Errorf("%s is not what the flags are; write it anew with NEXD_WRITE_DOCS=1 go test -run FlagsAreDocumented ./cmd/nexd", flagsDoc)
	}
}

func flagsPage(t *testing.T) string {
	parser, err := newParser(new(cli))
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	b.WriteString(`# Flags of nexd

Written from the command line's grammar by a test of cmd/nexd; do not edit.

A flag beats its variable, the variable beats the config file. The config file is YAML: the names of the flags without the dashes, a list where a flag may
stand more than once, and ` + "`service-url`" + ` for the argument. ` + "`nexd config check`" + ` says what is wrong with it. A SIGHUP reads it again: ` +
		strings.Join(flagNames(live), ", ") + ` and the
content of the file behind ` + "`--proxy-auth-file`" + ` take force without dropping a connection that they do not concern; nexd says which other flags have changed and need a restart.

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
			b.WriteString("\n| flag | variable | does |\n|---|---|---|\n" + rows)
		}
	})
	b.WriteString(`
## Exit codes

| code | means | examples |
|---|---|---|
| 0 | fine | |
| 1 | failed | a ping nobody answered, a refused connection of nc, a port that is taken |
| 2 | wrong usage | an unknown flag, a rule or a config file that cannot be read |
| 3 | not running or unreachable | no node behind the control socket; the service cannot be reached at the first join |
`)
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
