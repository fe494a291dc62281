package main

import (
	"errors"
	"fmt"

	"nexd/internal/program"

	"github.com/alecthomas/kong"
)

type configCmd struct {
	Check configCheckCmd `cmd:"" help:"Say whether the config file can be used, and what is wrong with it."`
}

type configCheckCmd struct {
	File string `arg:"" optional:"" help:"The file (default: the one that nexd would read)."`
}

// run reads the file as join or router would, with its flags beside those of the
// environment, and starts nothing.
func (k configCheckCmd) run(c *cli, std program.Streams) error {
	file := c.file
	if k.File != "" {
		var err error
		if file, err = readConfig(k.File); err != nil {
			return err
		}
	}
	if file.path == "" {
		return fmt.Errorf("there is no config file %s", defaultConfig())
	}
	var fresh cli
	parser, err := newParser(&fresh, std, new(bool), kong.Resolvers(file))
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
	ctx, err := parser.Parse([]string{command})
	if err != nil {
		return fmt.Errorf("%s: %w", file.path, err)
	}
	fresh.file = file
	if fresh.RegKeyFile == "-" {
		fresh.RegKeyFile = ""
	}
	if _, err := fresh.config(ctx, std, fresh.Router); err != nil {
		return fmt.Errorf("%s: %w", file.path, err)
	}
	fmt.Fprintf(std.Out, "%s: fine for nexd %s, %d keys\n", file.path, command, len(file.keys))
	return nil
}
