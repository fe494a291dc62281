package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"nexd/internal/program"

	"github.com/alecthomas/kong"
	"go.yaml.in/yaml/v3"
)

// configName is the name of the config file in its directory.
const configName = "nexd.yaml"

// keyServiceURL is the key for the argument SERVICE_URL.
const keyServiceURL = "service-url"

// maxConfig bounds the size of a config file in bytes.
const maxConfig = 1 << 20

// configFile is nexd.yaml. Keys are the names of flags; values are scalars, or lists for
// flags that may be repeated. Flags and the environment override it.
type configFile struct {
	path   string // empty: no file
	keys   map[string]configValue
	faults []error // errors found while reading it
}

type configValue struct {
	values []string
	list   bool
	line   int
}

// findConfig reads the file that --config or NEXD_CONFIG names, or the default file if
// it exists.
func findConfig(args []string) (*configFile, error) {
	path := os.Getenv("NEXD_CONFIG")
	for i, a := range args {
		if v, ok := strings.CutPrefix(a, "--config="); ok {
			path = v
		} else if a == "--config" && i+1 < len(args) {
			path = args[i+1]
		}
	}
	if path != "" {
		return readConfig(path)
	}
	path = defaultConfig()
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return &configFile{}, nil // the default file; the home may be another user's, as under setpriv
	}
	return readConfig(path)
}

func defaultConfig() string {
	if os.Geteuid() == 0 {
		return filepath.Join("/etc/nexd", configName)
	}
	dir, err := os.UserConfigDir()
	if err != nil {
		return configName + ".none" // no home directory: a file that does not exist
	}
	return filepath.Join(dir, "nexd", configName)
}

// readConfig reads a file. If it is not a YAML mapping, readConfig returns it with its
// errors, so commands that do not need the file still work.
func readConfig(path string) (*configFile, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, program.Usagef("config file: %w", err)
	}
	if info.IsDir() || info.Size() > maxConfig {
		return nil, program.Usagef("config file %s must be a regular file of at most %d bytes", path, maxConfig)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, program.Usagef("config file: %w", err)
	}
	f := &configFile{path: path, keys: map[string]configValue{}}
	f.parse(b)
	return f, nil
}

func (f *configFile) fault(line int, format string, args ...any) {
	where := f.path
	if line > 0 {
		where = fmt.Sprintf("%s:%d", f.path, line)
	}
	f.faults = append(f.faults, fmt.Errorf("%s: "+format, append([]any{where}, args...)...))
}

func (f *configFile) parse(b []byte) {
	var doc yaml.Node
	if err := yaml.Unmarshal(b, &doc); err != nil {
		f.fault(0, "%w", err)
		return
	}
	if len(doc.Content) == 0 { // empty, or only comments
		return
	}
	top := doc.Content[0]
	if top.Kind != yaml.MappingNode {
		f.fault(top.Line, "expected FLAG: VALUE on each line")
		return
	}
	for i := 0; i+1 < len(top.Content); i += 2 {
		f.add(top.Content[i], top.Content[i+1])
	}
}

func (f *configFile) add(key, value *yaml.Node) {
	name := key.Value
	if _, twice := f.keys[name]; twice {
		f.fault(key.Line, "%s is set twice", name)
		return
	}
	v := configValue{line: key.Line}
	items := []*yaml.Node{value}
	if value.Kind == yaml.SequenceNode {
		v.list, items = true, value.Content
	}
	for _, item := range items {
		if item.Kind != yaml.ScalarNode || item.Tag == "!!null" {
			f.fault(item.Line, "the value of %s must be a string or a list of strings", name)
			return
		}
		v.values = append(v.values, item.Value)
	}
	f.keys[name] = v
}

// text returns the value of a key that is not a flag; a nil file has none.
func (f *configFile) text(key string) string {
	if f == nil || len(f.keys[key].values) == 0 {
		return ""
	}
	return f.keys[key].values[0]
}

// Validate implements kong.Resolver. checkFile validates the file once the command is
// known.
func (f *configFile) Validate(*kong.Application) error { return nil }

// Resolve implements kong.Resolver. It returns nothing for flags that the environment
// sets, because kong would let the file override the environment.
func (f *configFile) Resolve(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	v, ok := f.keys[flag.Name]
	if !ok || inEnvironment(flag) || !settable(flag) {
		return nil, nil
	}
	if !flag.IsSlice() {
		if v.list || len(v.values) != 1 {
			return nil, fmt.Errorf("%s:%d: %s takes one value, not a list", f.path, v.line, flag.Name)
		}
		return v.values[0], nil
	}
	out := make([]any, len(v.values))
	for i := range v.values {
		out[i] = v.values[i]
	}
	return out, nil
}

// settable reports whether the file may set a flag: it may set every flag that has a
// variable, except for the file's own name.
func settable(f *kong.Flag) bool {
	return f.Name != "config" && f.Name != "help" && f.Name != "version" && len(f.Envs) > 0 && f.Envs[0] != "-"
}

func inEnvironment(f *kong.Flag) bool {
	return slices.ContainsFunc(f.Envs, func(name string) bool {
		_, ok := os.LookupEnv(name)
		return ok
	})
}

// source is where a flag's value comes from. If two flags cannot be used together, the
// greater source wins.
func source(ctx *kong.Context, name string) int {
	const file, environment, flag = 1, 2, 3
	if program.Given(ctx, name) {
		return flag
	}
	for _, f := range ctx.Flags() {
		if f.Name == name && inEnvironment(f) {
			return environment
		}
	}
	return file
}

// checkFile returns an error for a file with errors. Commands that only query or control
// the running node ignore them.
func (c *cli) checkFile() error {
	faults := c.file.check(c.parsed.Model)
	if len(faults) == 0 {
		return nil
	}
	if cmd := c.parsed.Selected().Name; cmd != "join" && cmd != "router" {
		if cmd != "check" {
			fmt.Fprintf(c.std.Err, "nexd: the config file has faults, see nexd config check: %v\n", faults[0])
		}
		return nil
	}
	return program.UsageError{Err: errors.Join(faults...)}
}

// check compares the keys with the flags of every command.
func (f *configFile) check(app *kong.Application) []error {
	if f == nil {
		return nil
	}
	known := []string{keyServiceURL}
	eachCommand(app.Node, "", func(_ string, n *kong.Node) {
		for _, flag := range n.Flags {
			if settable(flag) {
				known = append(known, flag.Name)
			}
		}
	})
	faults := slices.Clone(f.faults)
	for _, key := range f.sorted() {
		if slices.Contains(known, key) {
			continue
		}
		hint := ""
		if near := nearest(key, known); near != "" {
			hint = fmt.Sprintf("; did you mean %s?", near)
		}
		faults = append(faults, fmt.Errorf("%s:%d: %q cannot be set in the config file%s", f.path, f.keys[key].line, key, hint))
	}
	return faults
}

// sorted returns the keys in the order of their lines.
func (f *configFile) sorted() []string {
	var keys []string
	for k := range f.keys {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b string) int { return f.keys[a].line - f.keys[b].line })
	return keys
}

// splitRules splits a value with several forwards, such as a variable. After a comma
// comes another rule if the text has the fields of one, otherwise another target.
func splitRules(values []string) (out []string) {
	for _, v := range values {
		for i, part := range strings.Split(v, ",") {
			if i > 0 && !isRule(part) {
				out[len(out)-1] += "," + part
				continue
			}
			out = append(out, part)
		}
	}
	return out
}

// isRule distinguishes PORT:HOST:HOSTPORT and PORT:/PATH from HOST:HOSTPORT and /PATH.
func isRule(s string) bool {
	depth, colons := 0, 0
	for i := range len(s) {
		switch s[i] {
		case '[':
			depth++
		case ']':
			depth--
		case ':':
			if depth == 0 {
				colons++
			}
		}
	}
	return colons >= 2 || colons == 1 && strings.Contains(s, ":/")
}
