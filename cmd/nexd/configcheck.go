package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/alecthomas/kong"
)

type configCmd struct {
	Check configCheckCmd `cmd:"" help:"Report errors in the config file."`
}

type configCheckCmd struct {
	File string `arg:"" optional:"" help:"The config file (default: the file that nexd would read)."`
}

// Run reads the file and the environment as join or router would, and starts nothing.
func (k *configCheckCmd) Run(_ context.Context, c *cli) error {
	file := c.file
	if k.File != "" {
		var err error
		if file, err = readConfig(k.File); err != nil {
			return err
		}
	}
	if file.path == "" {
		return fmt.Errorf("config file %s does not exist", defaultConfig())
	}
	fresh := &cli{std: c.std, file: file}
	parser, err := newParser(fresh, kong.Resolvers(file))
	if err != nil {
		return err
	}
	if faults := file.check(parser.Model); len(faults) > 0 {
		return errors.Join(faults...)
	}
	command := "join"
	if _, ok := file.keys["advertise-cidr"]; ok {
		command = "router"
	}
	if fresh.parsed, err = parser.Kong.Parse([]string{command}); err != nil {
		return fmt.Errorf("%s: %w", file.path, err)
	}
	if fresh.RegKeyFile == "-" {
		fresh.RegKeyFile = ""
	}
	if _, err := fresh.config(fresh.Router); err != nil {
		return fmt.Errorf("%s: %w", file.path, err)
	}
	fmt.Fprintf(c.std.Out, "%s: fine for nexd %s, %d keys\n", file.path, command, len(file.keys))
	return nil
}
