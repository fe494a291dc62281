package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"nexd/agent"
	"nexd/cmd/nexd/internal/admin"
	"nexd/internal/program"

	"github.com/alecthomas/kong"
)

// cli is the command line and the environment of every command. The flags of join and
// router are at the root, so they work before and after the command; checkFlags refuses
// them for other commands.
type cli struct {
	args   []string // the command line, to parse it again on SIGHUP
	std    program.Streams
	parsed *kong.Context
	file   *configFile    // nil in tests of flags alone
	level  *slog.LevelVar // of the log

	StateDir string           `help:"Directory for this node's identity and cached network map." placeholder:"DIR"`
	Config   string           `help:"Config file (default: nexd.yaml, if present, in /etc/nexd for root and in $XDG_CONFIG_HOME/nexd for others)." placeholder:"FILE"`
	Socket   string           `help:"Control socket (default: nexd.sock in the state directory)." placeholder:"PATH"`
	Version  kong.VersionFlag `help:"Print the version and exit." env:"-"`

	joinFlags  `group:"join"`
	proxyFlags `group:"join"`

	Join       joinCmd       `cmd:"" default:"withargs" help:"Join an organization and run this node (the default command)."`
	Router     routerCmd     `cmd:"" help:"Join and advertise container prefixes to the mesh."`
	Status     statusCmd     `cmd:"" help:"Show the status of the running node and its peers."`
	Ping       pingCmd       `cmd:"" help:"Ping a node or an address through the mesh."`
	IP         ipCmd         `cmd:"" name:"ip" help:"Print the mesh addresses of this node or of another one."`
	Forward    forwardCmd    `cmd:"" help:"List, add and remove port forwards of the running node."`
	Down       downCmd       `cmd:"" help:"Stop the running node."`
	NC         ncCmd         `cmd:"" name:"nc" help:"Connect standard input and output to HOST PORT in the mesh, for example as ssh's ProxyCommand."`
	Env        envCmd        `cmd:"" help:"Print a shell's proxy variables: eval \"$(nexd env)\"."`
	Netcheck   netcheckCmd   `cmd:"" help:"Test this host's network: service, relay, UDP, NAT, path MTU, clock. Works before joining."`
	Clean      cleanCmd      `cmd:"" help:"Remove what a killed nexd in TUN mode left on this host."`
	ConfigCmd  configCmd     `cmd:"" name:"config" help:"Check the config file."`
	Completion completionCmd `cmd:"" help:"Print a completion script for bash, zsh or fish."`
	Admin      admin.Command `cmd:"" help:"Administer a service through its API: organizations, people, keys, nodes, prefixes."`
	Key        keyCmd        `cmd:"" help:"Print this node's public key for static maps; generate the key first if needed."`
}

type joinFlags struct {
	Userspace         bool     `help:"Run the TCP/IP stack in this process; needs no privileges." group:"join"`
	TUN               bool     `name:"tun" help:"Create an interface and routes; needs CAP_NET_ADMIN." group:"join"`
	RegKey            string   `help:"Registration key; prefer --reg-key-file, which keeps it out of ps." placeholder:"KEY" group:"join"`
	RegKeyFile        string   `help:"File with the registration key; - reads standard input." placeholder:"FILE" group:"join"`
	Map               string   `help:"Static network map to use instead of a service." placeholder:"FILE" group:"join"`
	Hostname          string   `help:"Preferred node name (default: the host name)." placeholder:"NAME" group:"join"`
	ListenPort        uint16   `help:"UDP port of WireGuard (default: the port of the last run, or a random one)." placeholder:"N" group:"join"`
	AdvertiseEndpoint []string `help:"Additional address at which peers can reach this node; repeatable." placeholder:"ADDR:PORT" group:"join"`
	ExcludeInterface  []string `help:"Interface or network that must not carry the mesh, such as that of another VPN; repeatable." placeholder:"NAME|PREFIX" group:"join"`
	ProxyListen       []string `help:"Listening address of the SOCKS and HTTP proxy: ADDR:PORT, unix:PATH or off; repeatable (default: 127.0.0.1:1080)." placeholder:"ADDR" group:"join"`
	LocalForward      []string `short:"L" sep:"none" help:"Forward a local port to a target in the mesh; repeatable." placeholder:"[BIND:]PORT:HOST:HOSTPORT[,…][/udp]" group:"join"`
	RemoteForward     []string `short:"R" sep:"none" help:"Forward a port of this node's mesh addresses to a target on this host's network; repeatable." placeholder:"PORT:HOST:HOSTPORT[,…][/udp]" group:"join"`
	Interface         string   `help:"Interface name in TUN mode (default: wg0)." placeholder:"NAME" group:"join"`
	MTU               int      `name:"mtu" help:"MTU inside the mesh (default: 1420)." placeholder:"N" group:"join"`
	MetricsListen     string   `help:"Address where Prometheus reads this node's counters, at /metrics over plain HTTP; anybody who can reach it can read them, so prefer 127.0.0.1 (default: none)." placeholder:"ADDR:PORT" group:"join"`
	MemoryLimit       string   `help:"Memory limit, at least 48MiB: new connections are refused when it is reached; below 256MiB, buffers and queues shrink (default: none)." placeholder:"SIZE" group:"join"`
	InsecureHTTP      bool     `name:"insecure-http" help:"Allow an http:// service URL; anybody on the network path can then read and change the traffic with the service." group:"join"`
	LogLevel          string   `help:"Log level: debug, info, warn or error." default:"info" enum:"debug,info,warn,error" group:"join"`
	LogFormat         string   `help:"Log format: text, or json for one JSON object on each line." default:"text" enum:"text,json" group:"join"`
}

type joinCmd struct {
	ServiceURL string `arg:"" optional:"" name:"service-url" help:"URL of the service with its pin: https://host:8443/#pin=… (or NEXD_SERVICE_URL)."`

	cfg agent.Config
}

type routerCmd struct {
	AdvertiseCIDR []string `name:"advertise-cidr" help:"Prefix to advertise; =LOCAL maps it to another prefix of this host's network; repeatable." placeholder:"PREFIX[=LOCAL]"`
	SNAT          string   `name:"snat" help:"In TUN mode, replace the callers' source addresses with this host's: on, off, or auto (unless this host is the prefix's gateway)." default:"auto" enum:"auto,on,off"`
	AllowLocal    []string `help:"Loopback or link-local target to open to the whole organization through a mapped prefix; repeatable." placeholder:"ADDR[:PORT]"`
	ServiceURL    string   `arg:"" optional:"" name:"service-url" help:"URL of the service."`

	cfg agent.Config
}

// parse reads the command line. A nil action means that it printed the help or the
// version.
func parse(args []string, std program.Streams) (program.Action, error) {
	c := &cli{args: args, std: std}
	var err error
	if c.file, err = findConfig(args); err != nil {
		return nil, err
	}
	parser, err := newParser(c, kong.Resolvers(c.file))
	if err != nil {
		return nil, err
	}
	if err := stray(args, parser); err != nil {
		return nil, err
	}
	if c.parsed, err = parser.Parse(args); err != nil {
		return nil, program.UsageError{Err: explain(err, args)}
	}
	if c.parsed == nil {
		return nil, nil
	}
	if err := c.checkFlags(); err != nil {
		return nil, err
	}
	if err := c.checkFile(); err != nil {
		return nil, err
	}
	if program.Takes[*admin.Client](c.parsed) {
		return c.Admin.Prepare(c.parsed, c.std, c.InsecureHTTP, c.serviceProxy())
	}
	return program.Prepare(c.parsed, c)
}

// newParser returns the parser of c.
func newParser(c *cli, more ...kong.Option) (*program.Parser, error) {
	return program.NewParser(c, "NEXD", c.std, append(more,
		kong.Name("nexd"),
		kong.Description("A WireGuard mesh that needs no kernel privileges.\n\n"+
			"To join: nexd SERVICE_URL. To join and advertise containers: nexd router --advertise-cidr=PREFIX SERVICE_URL."),
		kong.ExplicitGroups([]kong.Group{{Key: "join", Title: "Flags of join and router:"}}),
		kong.Help(help),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoExpandSubcommands: true}),
	)...)
}

// checkFlags refuses flags of join and router on other commands. It ignores variables
// of the environment, which are meant for join and router.
func (c *cli) checkFlags() error {
	cmd := program.Path(c.parsed.Selected())
	if cmd == "join" || cmd == "router" {
		return nil
	}
	for _, p := range c.parsed.Path {
		if p.Flag != nil && !p.Resolved && joins(p.Flag) && !takes(cmd, p.Flag.Name) {
			return program.Usagef("--%s is a flag of join and router, not of %s", p.Flag.Name, cmd)
		}
	}
	return nil
}

func joins(f *kong.Flag) bool { return f.Group != nil && f.Group.Key == "join" }

// takes reports whether a command other than join and router accepts one of their
// flags.
func takes(cmd, flag string) bool {
	switch cmd {
	case "clean":
		return flag == "interface"
	case "forward add", "forward remove":
		return flag == "local-forward" || flag == "remote-forward"
	}
	return (cmd == "netcheck" || strings.HasPrefix(cmd+" ", "admin ")) && flag == "insecure-http"
}

// help prints a command's help without the flags that do not apply to it.
func help(options kong.HelpOptions, ctx *kong.Context) error {
	if sel := ctx.Selected(); sel != nil && sel.Name != "join" && sel.Name != "router" {
		cmd := program.Path(sel)
		for _, f := range ctx.Model.Flags {
			switch {
			case joins(f) && takes(cmd, f.Name):
				f.Group = nil
			case joins(f), strings.HasPrefix(cmd+" ", "admin ") && (f.Name == "state-dir" || f.Name == "socket"):
				f.Hidden = true
			}
		}
	}
	return program.Help(options, ctx)
}

// stray refuses a first word that is neither a command nor a URL. The parser would take
// it for a SERVICE_URL, so `nexd statsu` would join.
func stray(args []string, parser *program.Parser) error {
	word := ""
	if len(args) > 0 {
		word = args[0]
	}
	if strings.HasPrefix(word, "--state-dir=") && len(args) > 1 {
		word = args[1] // the only flag that often comes before the command
	}
	if word == "" || strings.HasPrefix(word, "-") || strings.Contains(word, "://") {
		return nil
	}
	names := commands(parser.Kong)
	for _, n := range names {
		if n == word {
			return nil
		}
	}
	return badURL(word, names, args)
}

// badURL explains a word that is neither a command nor a SERVICE_URL. Another
// argument may be the URL.
func badURL(word string, names, args []string) error {
	if near := nearest(word, names); near != "" {
		return program.Usagef("%q is neither a command nor a URL; did you mean nexd %s?", word, near)
	}
	for _, a := range args {
		if strings.Contains(a, "://") && !strings.HasPrefix(a, "-") {
			return program.Usagef("%q is not a command; to join, run: nexd %s", word, a)
		}
	}
	return program.Usagef("%q is neither a command (%s) nor a URL; a service URL starts with https://", word, strings.Join(names, ", "))
}

func commands(parser *kong.Kong) (names []string) {
	for _, n := range parser.Model.Children {
		names = append(names, n.Name)
	}
	return names
}

// explain adds a solution to kong's errors.
func explain(err error, args []string) error {
	var perr *kong.ParseError
	for _, f := range []string{"--advertise-cidr", "--allow-local", "--snat"} {
		if strings.HasPrefix(err.Error(), "unknown flag "+f) {
			return fmt.Errorf("%w; %s is a flag of router: nexd router %s=… SERVICE_URL", err, f, f)
		}
	}
	if errors.As(err, &perr) && strings.HasPrefix(perr.Error(), "unexpected argument ") {
		for _, a := range args {
			if strings.Contains(a, "://") {
				return fmt.Errorf("%w; the command takes one service URL, before or after its flags", err)
			}
		}
	}
	return err
}

// nearest is the command whose spelling is closest to word, if any is close.
func nearest(word string, names []string) string {
	best, name := min(3, len(word)-1), "" // at most two edits, and never half of a short word
	for _, n := range names {
		if d := edits(word, n); d < best {
			best, name = d, n
		}
	}
	return name
}

// edits is the Levenshtein distance.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diag := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diag, row[j+1] = row[j+1], min(diag+cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

// stateDir returns the directory of --state-dir or the user's default.
func (c *cli) stateDir() (string, error) {
	if c.StateDir != "" {
		return c.StateDir, nil
	}
	if os.Geteuid() == 0 {
		return "/var/lib/nexd", nil
	}
	if dir := os.Getenv("XDG_STATE_HOME"); dir != "" {
		return filepath.Join(dir, "nexd"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", program.Usagef("no default state directory (%v); use --state-dir=DIR", err)
	}
	return filepath.Join(home, ".local", "state", "nexd"), nil
}

func (c *cli) socket() (string, error) {
	if c.Socket != "" {
		return c.Socket, nil
	}
	dir, err := c.stateDir()
	return filepath.Join(dir, "nexd.sock"), err
}
