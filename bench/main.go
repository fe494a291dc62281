//go:build linux

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"nexd/bench/load"
	"nexd/bench/report"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// run is main with its environment passed in. If the first argument is a role, this process
// is a load client or server of the benchmark.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) error {
	if len(args) > 0 {
		switch args[0] {
		case load.RoleServer:
			return load.RunServer(args[1:], stdin, stdout)
		case load.RoleClient:
			return load.RunClient(args[1:], stdin, stdout)
		}
	}
	opts, err := parseOptions(args, stderr)
	if err != nil {
		return err
	}
	if len(opts.compare) > 0 {
		return compare(opts.compare, stdout)
	}
	if os.Geteuid() != 0 {
		return errors.New("needs root: it makes network namespaces (the agents it measures run as nobody)")
	}
	return benchmark(ctx, opts, stdout, stderr)
}

// benchmark runs all rounds, prints the tables and writes the JSON. After an error or an
// interrupt it prints and writes the figures measured so far.
func benchmark(ctx context.Context, o options, stdout, stderr io.Writer) error {
	b, err := newRunner(o, stderr)
	if err != nil {
		return err
	}
	defer b.close()
	res := report.New(o.systems, o.congestion, o.described())
	res.StolenAllowed = o.allowStolen
	failed := b.run(ctx, res)
	if refused := res.Refused(); refused != nil {
		path, err := res.Save(o.out)
		if err == nil {
			fmt.Fprintf(stderr, "The samples are in %s\n", path)
		}
		return errors.Join(refused, err)
	}
	if ctx.Err() != nil {
		failed = errors.New("interrupted; the tables hold what was measured until then")
	}
	if len(res.Scenarios) > 0 {
		report.Print(stdout, res)
		path, err := res.Save(o.out)
		if err != nil {
			return errors.Join(failed, err)
		}
		fmt.Fprintf(stdout, "\nAll samples are in %s\n", path)
	}
	return failed
}

// compare prints the goals of earlier runs side by side.
func compare(files []string, stdout io.Writer) error {
	var runs []*report.Results
	for _, file := range files {
		r, err := report.Load(file)
		if err != nil {
			return err
		}
		runs = append(runs, r)
	}
	report.Compare(stdout, runs)
	return nil
}
