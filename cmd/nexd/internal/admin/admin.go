package admin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/alecthomas/kong"

	"nexd/agent"
	"nexd/control"
	"nexd/internal/envproxy"
	"nexd/internal/program"
	"nexd/mesh"
)

// Command is nexd admin: it administers a service through the service's API, as the
// person who owns the API token. The token comes from a file, standard input or the
// environment, never from the command line, which everybody on the host can read.
type Command struct {
	ServiceURL string `name:"service-url" help:"URL of the service; with its pin, unless a public authority signed its certificate." placeholder:"URL" env:"NEXD_SERVICE_URL"`
	TokenFile  string `help:"File with the API token; - reads standard input (NEXD_ADMIN_TOKEN can hold the token itself)." placeholder:"FILE" env:"NEXD_ADMIN_TOKEN_FILE"`
	JSON       bool   `name:"json" help:"Print the API's response as JSON." env:"-"`

	Org        orgCmd        `cmd:"" help:"List and create organizations; choose your default one."`
	User       userCmd       `cmd:"" help:"Show the owner of the API token."`
	Key        regKeyCmd     `cmd:"" help:"List, create and revoke registration keys."`
	Node       nodeCmd       `cmd:"" help:"List, show and remove nodes; approve or deny a node that waits with a code."`
	Prefix     prefixCmd     `cmd:"" help:"List and release the prefixes that nodes hold."`
	Member     memberCmd     `cmd:"" help:"List and remove the members of an organization; change their roles."`
	Invitation invitationCmd `cmd:"" help:"List, create, revoke and accept invitations."`
	Token      tokenCmd      `cmd:"" help:"List, create and revoke your API tokens."`
	Audit      auditCmd      `cmd:"" help:"Show the audit log, newest entry first."`

	Device nodeCmd `cmd:"" hidden:"" help:"Former name of node; works until 1.0."`
}

// Client is what the commands work with.
type Client struct {
	*control.Admin
	std  program.Streams
	json bool
}

// Prepare checks what every command of admin needs, and the selected command.
// insecure allows a service that speaks plain HTTP; proxy chooses the proxy of its requests.
func (cmd *Command) Prepare(parsed *kong.Context, std program.Streams, insecure bool, proxy envproxy.Func) (program.Action, error) {
	if cmd.ServiceURL == "" {
		return nil, program.Usagef("no service URL; use --service-url=https://HOST:8443/#pin=… or set NEXD_SERVICE_URL")
	}
	u, err := control.ParseJoinURL(cmd.ServiceURL)
	if err != nil {
		return nil, program.UsageError{Err: err}
	}
	token, err := cmd.token(parsed, std.In)
	if err != nil {
		return nil, err
	}
	client, err := control.NewAdmin(control.Config{URL: u, Insecure: insecure, Version: program.Version(), Proxy: proxy}, token)
	if err != nil {
		return nil, program.UsageError{Err: agent.Hinted(err)}
	}
	act, err := program.Prepare(parsed, &Client{Admin: client, std: std, json: cmd.JSON})
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) error {
		defer client.Close()
		return adminError(agent.Hinted(act(ctx)))
	}, nil
}

// token reads the API token; the flag beats the environment.
func (cmd *Command) token(parsed *kong.Context, in io.Reader) (string, error) {
	token := strings.TrimSpace(os.Getenv("NEXD_ADMIN_TOKEN"))
	switch {
	case cmd.TokenFile == "" && token == "":
		return "", program.Usagef("no API token; use --token-file=FILE or set NEXD_ADMIN_TOKEN; create a token on the service's account page")
	case cmd.TokenFile == "":
		return token, nil
	case token != "" && !program.Given(parsed, "token-file"):
		return "", program.Usagef("NEXD_ADMIN_TOKEN and NEXD_ADMIN_TOKEN_FILE cannot be used together")
	}
	return program.ReadSecret("API token", cmd.TokenFile, in)
}

// adminError adds a hint to errors about the token.
func adminError(err error) error {
	switch control.ReasonOf(err) {
	case control.ReasonToken:
		return fmt.Errorf("%w (create another token on the service's account page)", err)
	case control.ReasonRole:
		return fmt.Errorf("%w (nexd admin user shows the token's scopes and your roles)", err)
	}
	if mesh.KindOf(err) == mesh.Unavailable {
		return program.UnreachableError{Err: err}
	}
	return err
}

// inOrg is the flags of commands that work on one organization.
type inOrg struct {
	OrgName string `name:"org" help:"Name or ID of the organization (default: your default organization)." placeholder:"NAME" env:"NEXD_ADMIN_ORG"`
}

// org is the organization of --org, or the default one.
func (i inOrg) org(ctx context.Context, a *Client) (string, error) {
	if i.OrgName != "" {
		return i.OrgName, nil
	}
	me, err := a.Me(ctx)
	if err != nil {
		return "", err
	}
	for _, o := range me.Organizations {
		if o.Default || len(me.Organizations) == 1 {
			return string(o.ID), nil
		}
	}
	return "", program.Usagef("%s has no default organization; use --org=NAME, or choose one with nexd admin org default NAME", plain(me.Email))
}

// show prints v as JSON, or rows under head as a table.
func (a *Client) show(v any, head string, rows [][]string) error {
	if a.json {
		return program.WriteJSON(a.std.Out, v)
	}
	for _, r := range rows {
		for i := range r {
			r[i] = plain(program.Dash(r[i]))
		}
	}
	return program.WriteTable(a.std.Out, head, rows)
}

// tell prints v as JSON, or one line of text.
func (a *Client) tell(v any, format string, args ...any) error {
	if a.json {
		return program.WriteJSON(a.std.Out, v)
	}
	_, err := fmt.Fprintln(a.std.Out, plain(fmt.Sprintf(format, args...)))
	return err
}

// secret hands out a secret that is shown only once: to a new file of mode 0600 or,
// alone on its line, to standard output.
type secret struct {
	Out string `name:"out" help:"Write the secret to this new file (mode 0600) instead of standard output." placeholder:"FILE" env:"-"`

	file *os.File
}

// open creates the file before the secret, so that a wrong path loses no secret.
func (s *secret) open() (err error) {
	if s.Out == "" {
		return nil
	}
	s.file, err = os.OpenFile(s.Out, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("secret file: %w", err)
	}
	return nil
}

// discard removes a file that was not written.
func (s *secret) discard() {
	if s.file != nil {
		s.file.Close()
		os.Remove(s.Out)
	}
}

// hand writes the secret text. v is the JSON without the text, all the JSON with it.
func (s *secret) hand(a *Client, text string, v, all any, note string) error {
	if s.file != nil {
		_, err := fmt.Fprintln(s.file, text)
		if err = errors.Join(err, s.file.Close()); err != nil {
			return fmt.Errorf("%s: %w", s.Out, err)
		}
		s.file = nil
		return a.tell(v, "Written to %s. %s", s.Out, note)
	}
	if a.json {
		return program.WriteJSON(a.std.Out, all)
	}
	fmt.Fprintln(a.std.Out, plain(text))
	fmt.Fprintln(a.std.Err, "Shown only once.", plain(note))
	return nil
}

// plain removes characters from foreign text that control a terminal or change its
// reading direction.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == 0x2028 || r == 0x2029 {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
}

// span reads a duration such as 30d or 12h.
func span(flag, s string) (seconds int64, err error) {
	if s == "" || s == "0" {
		return 0, nil
	}
	d, err := time.ParseDuration(s)
	if days, ok := strings.CutSuffix(s, "d"); ok {
		var n int
		n, err = strconv.Atoi(days)
		d = time.Duration(n) * 24 * time.Hour
		if n > 100*366 {
			d = -1
		}
	}
	if err != nil || d < time.Second {
		return 0, program.Usagef("--%s=%s is not a duration such as 30d or 12h", flag, s)
	}
	return int64(d / time.Second), nil
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format(time.RFC3339)
}

func words[T any](items []T) string {
	out := make([]string, len(items))
	for i, it := range items {
		out[i] = fmt.Sprint(it)
	}
	return strings.Join(out, ",")
}

func held(hs []mesh.Holding) string {
	var out []string
	for _, h := range hs {
		out = append(out, h.Prefix.String())
	}
	return strings.Join(out, ",")
}

// inviteToken is the last part of an invitation's link, or the token itself.
func inviteToken(s string) string {
	return s[strings.LastIndexByte(s, '/')+1:]
}
