package main

import (
	"context"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/alecthomas/kong"

	"nexd/internal/program"
	"nexd/service/store"
)

// cli is the command line, and what every command works with. All commands share the
// flags at the root, which work before and after the name of the command.
type cli struct {
	std    program.Streams
	parsed *kong.Context

	DB        string           `name:"db" help:"Database: a file path or sqlite:PATH (default: nexservice.db in --data-dir)." placeholder:"DSN"`
	DataDir   string           `help:"Directory of the database if --db is not given." placeholder:"DIR"`
	LogLevel  string           `help:"Log level: debug, info, warn or error." default:"info" enum:"debug,info,warn,error"`
	LogFormat string           `help:"Log format: text, or json for one JSON object on each line." default:"text" enum:"text,json"`
	Version   kong.VersionFlag `help:"Print the version and exit." env:"-"`

	Bootstrap  bootstrapCmd  `cmd:"" help:"Set up an empty database: first user, organization, TLS key and registration key."`
	Serve      serveCmd      `cmd:"" help:"Run the service."`
	Org        orgCmd        `cmd:"" help:"Create and list organizations."`
	Key        keyCmd        `cmd:"" help:"Create, list and revoke registration keys."`
	Prefix     prefixCmd     `cmd:"" help:"List and release the prefixes that nodes hold."`
	Node       nodeCmd       `cmd:"" help:"List and remove nodes."`
	User       userCmd       `cmd:"" help:"Create, list and remove users; set passwords; create API tokens."`
	Audit      auditCmd      `cmd:"" help:"Show the audit log of an organization."`
	RenewEpoch renewEpochCmd `cmd:"" help:"After restoring a backup of the database: make nodes accept its older network maps."`

	Device nodeCmd `cmd:"" hidden:"" help:"Former name of node; works until 1.0."`
}

// parse reads the command line. A nil action means that it printed help or the version.
func parse(args []string, std program.Streams) (program.Action, error) {
	c := &cli{std: std}
	parser, err := program.NewParser(c, "NEXSERVICE", std,
		kong.Name("nexservice"),
		kong.Description("The service of a nexd mesh.\n\n"+
			"To start, run nexservice serve --db=FILE and open the set-up link that it prints. Without a browser, first run "+
			"nexservice bootstrap --db=FILE --user=EMAIL --password-file=FILE."),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
	)
	if err != nil {
		return nil, err
	}
	if c.parsed, err = parser.Parse(args); c.parsed == nil {
		return nil, err
	}
	act, err := program.Prepare(c.parsed, c)
	if err != nil {
		return nil, err
	}
	if c.dsn() == "" {
		return nil, program.Usagef("no database: give --db=FILE (or NEXSERVICE_DB)")
	}
	return func(ctx context.Context) error {
		err := act(store.WithActor(ctx, store.Actor{Name: "nexservice command", Via: "command"}))
		return program.End(c.logger(), c.LogFormat, err, program.Code)
	}, nil
}

// dsn is the database: --db, or the default file in --data-dir.
func (c *cli) dsn() string {
	if c.DB == "" && c.DataDir != "" {
		return filepath.Join(c.DataDir, "nexservice.db")
	}
	return c.DB
}

// open opens the database for a command.
func (c *cli) open(ctx context.Context) (*store.Store, error) {
	return store.Open(ctx, c.dsn(), store.Options{})
}

func (c *cli) logger() *slog.Logger {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.LogLevel)); err != nil {
		level = slog.LevelInfo // kong's enum has checked it
	}
	return program.NewLogger(c.std.Err, c.LogFormat, level)
}

// stamp is a time for a table; "-" for none.
func stamp(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format(time.RFC3339)
}
