//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"nexd/bench/lab"
	"nexd/bench/load"
	"nexd/bench/report"
)

// runner measures all systems, round by round.
type runner struct {
	o    options
	dir  string // for temporary files
	bin  string // copies of the programs, so a build cannot change them
	labs int
	log  io.Writer

	res    *report.Results
	before lab.MachineTime // when the run began
}

func newRunner(o options, log io.Writer) (*runner, error) {
	if err := lab.Sweep(); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", fmt.Sprintf("%s%d-", lab.Prefix, os.Getpid()))
	if err != nil {
		return nil, err
	}
	r := &runner{o: o, dir: dir, bin: filepath.Join(dir, "bin"), log: log}
	if err := r.copyPrograms(); err != nil {
		r.close()
		return nil, err
	}
	return r, nil
}

// copyPrograms copies the programs to a directory where every user can run them.
func (r *runner) copyPrograms() error {
	if err := errors.Join(os.Chmod(r.dir, 0o755), os.Mkdir(r.bin, 0o755)); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	from := map[string]string{"bench": self}
	for _, name := range []string{"nexd", "nexservice", "link", "stocknet", "wgtun"} {
		from[name] = filepath.Join(r.o.bin, name)
	}
	for _, v := range r.o.nexds {
		from[v.name] = v.path
	}
	for name, path := range from {
		b, err := os.ReadFile(path)
		if err != nil {
			return fmt.Errorf("%w (make bench builds the programs)", err)
		}
		if err := os.WriteFile(filepath.Join(r.bin, name), b, 0o755); err != nil {
			return err
		}
	}
	for i, v := range r.o.nexds {
		r.o.nexds[i].path = filepath.Join(r.bin, v.name)
	}
	return nil
}

func (r *runner) close() { os.RemoveAll(r.dir) }

// run fills res. After an error, res has the figures measured before the error.
func (r *runner) run(ctx context.Context, res *report.Results) (err error) {
	r.res = res
	began := time.Now()
	defer func() { res.Took = time.Since(began).Round(time.Second).String() }()
	if r.before, err = lab.ReadMachine(); err != nil {
		return err
	}
	for _, sc := range scenarios(r.o) {
		if len(sc.measures) == 0 {
			continue
		}
		data := res.Scenario(sc.name, sc.title)
		work := r.oneByOne
		if sc.together {
			work = r.together
		}
		if err := work(ctx, sc, data); err != nil {
			return fmt.Errorf("scenario %s: %w", sc.name, err)
		}
	}
	return nil
}

// checkStolen notes how much processor time other guests of the host have taken
// since the run began, and refuses to go on if it is too much.
func (r *runner) checkStolen() error {
	now, err := lab.ReadMachine()
	if err != nil {
		return err
	}
	r.res.StolenPercent = now.Since(r.before).StolenPercent()
	return r.res.Refused()
}

// order rotates the systems by one per round, so the predecessor of each changes.
func order(systems []string, round int) []string {
	n := round % len(systems)
	return slices.Concat(systems[n:], systems[:n])
}

// oneByOne measures the systems in turns in one lab.
func (r *runner) oneByOne(ctx context.Context, sc scenario, data *report.Scenario) error {
	l, server, err := r.lab(ctx, sc)
	if err != nil {
		return err
	}
	defer l.Close()
	for round := range r.o.rounds {
		if round == 1 { // it takes long and varies little
			sc.measures = slices.DeleteFunc(slices.Clone(sc.measures), func(n string) bool { return n == mIdle })
		}
		for _, name := range order(sc.systems, round) {
			of := sc
			if of.measures = measured(name, sc, round); len(of.measures) == 0 {
				continue
			}
			s, err := r.measure(ctx, of, l, server, name)
			data.Add(name, s)
			r.tell(sc, round, name, s)
			if err != nil {
				return fmt.Errorf("round %d, %s: %w", round+1, name, err)
			}
		}
		if err := r.checkStolen(); err != nil {
			return err
		}
	}
	return nil
}

// together measures all systems at the same time, each in its own lab, for paths that leave
// the processors idle.
func (r *runner) together(ctx context.Context, sc scenario, data *report.Scenario) error {
	systems := slices.DeleteFunc(slices.Clone(sc.systems), func(name string) bool { return len(measured(name, sc, 0)) == 0 })
	labs, servers := make([]*lab.Lab, len(systems)), make([]*lab.Process, len(systems))
	for i := range labs {
		l, server, err := r.lab(ctx, sc)
		if err != nil {
			return err
		}
		defer l.Close()
		labs[i], servers[i] = l, server
	}
	for round := range r.o.rounds {
		var wg sync.WaitGroup
		samples, errs := make([]report.Sample, len(labs)), make([]error, len(labs))
		for i, name := range systems {
			wg.Go(func() { samples[i], errs[i] = r.measure(ctx, sc, labs[i], servers[i], name) })
		}
		wg.Wait()
		for i, name := range systems {
			delete(samples[i], "down1_cpu_all") // of all systems together
			delete(samples[i], "up1_cpu_all")
			data.Add(name, samples[i])
			r.tell(sc, round, name, samples[i])
		}
		if err := errors.Join(errs...); err != nil {
			return fmt.Errorf("round %d: %w", round+1, err)
		}
		if err := r.checkStolen(); err != nil {
			return err
		}
	}
	return nil
}

// lab creates the namespaces for a scenario, with the load server in the container.
func (r *runner) lab(ctx context.Context, sc scenario) (*lab.Lab, *lab.Process, error) {
	r.labs++
	l, err := lab.New(ctx, r.bin, r.dir, r.labs, sc.path, r.o.congestion)
	if err != nil {
		return nil, nil, err
	}
	server, err := l.Spawn(lab.Start{NS: lab.Container, Name: "load server", Talks: true, Args: []string{filepath.Join(r.bin, "bench"), load.RoleServer, "-listen=" + lab.Target.String()}})
	if err == nil {
		l.Undo(server.Stop)
		err = server.Call(ctx, 5*time.Second, "Received", struct{}{}, new(int64))
	}
	if err != nil {
		l.Close()
		return nil, nil, err
	}
	return l, server, nil
}

// measure takes all measures of one system. Those that need a fresh system share one
// deployment, the others a second one.
func (r *runner) measure(ctx context.Context, sc scenario, l *lab.Lab, server *lab.Process, name string) (report.Sample, error) {
	s := report.Sample{}
	before, err := lab.ReadMachine()
	if err != nil {
		return s, err
	}
	defer func() {
		if after, err := lab.ReadMachine(); err == nil {
			s[report.Stolen] = after.Since(before).StolenPercent()
		}
	}()
	m := &measurer{warm: sc.warm, window: sc.window, profile: profiler(r.o.perf, sc.name, name)}
	has := func(measure string) bool { return slices.Contains(sc.measures, measure) }
	if has(mStart) || has(mHold) {
		err := r.deployed(ctx, l, server, name, func(d *deployment) error { return m.fresh(ctx, d, has(mHold), s) })
		if err != nil {
			return s, err
		}
	}
	if has(mIdle) && newSystem(name, r.o).proxy() != "" { // else the connections are the kernel's
		if err := r.deployed(ctx, l, server, name, func(d *deployment) error { return m.idleMany(ctx, d, s) }); err != nil {
			return s, fmt.Errorf("%s: %w", mIdle, err)
		}
	}
	rest := slices.DeleteFunc(slices.Clone(sc.measures), func(n string) bool { return n == mStart || n == mHold || n == mIdle })
	if len(rest) == 0 {
		return s, nil
	}
	return s, r.deployed(ctx, l, server, name, func(d *deployment) error {
		if err := d.startClient(ctx); err != nil {
			return err
		}
		if err := d.prove(ctx); err != nil {
			return err
		}
		for _, measure := range rest {
			if err := errors.Join(ctx.Err(), m.take(ctx, d, measure, s)); err != nil {
				return fmt.Errorf("%s: %w", measure, err)
			}
			if err := d.prove(ctx); err != nil {
				return fmt.Errorf("after %s: %w", measure, err)
			}
		}
		return nil
	})
}

// deployed runs f with a fresh deployment of the system.
func (r *runner) deployed(ctx context.Context, l *lab.Lab, server *lab.Process, name string, f func(*deployment) error) error {
	d, err := deploy(ctx, l, newSystem(name, r.o), server)
	if err != nil {
		return err
	}
	defer func() {
		d.close()
		for _, p := range []*lab.Process{d.a, d.b} {
			if r.o.verbose && p != nil {
				fmt.Fprintf(r.log, "--- %s (%s) said:\n%s\n", p.Name, name, p.Said())
			}
		}
	}()
	return f(d)
}

// tell prints the progress.
func (r *runner) tell(sc scenario, round int, name string, s report.Sample) {
	fmt.Fprintf(r.log, "%s %-6s round %d/%d %-14s", time.Now().Format("15:04:05"), sc.name, round+1, r.o.rounds, name)
	for _, m := range []string{"down1_mbit", "up1_mbit", "down8_mbit", "up8_mbit"} {
		if v, ok := s[m]; ok {
			fmt.Fprintf(r.log, "  %s %.0f", m, v)
		}
	}
	fmt.Fprintln(r.log)
}
