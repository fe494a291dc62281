package main

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"nexd/agent/localapi"
	"nexd/internal/program"
	"nexd/mesh"
	"nexd/node"
)

// problems returns a line for each thing that does not work.
func problems(s localapi.Status, now time.Time) (lines []string) {
	if len(s.Problems) == 0 {
		return s.Health // of an agent from before Problems
	}
	for _, p := range s.Problems {
		lines = append(lines, p.At(now))
	}
	return lines
}

// checkStatus prints what does not work, and returns an error if there is anything.
func checkStatus(w io.Writer, s localapi.Status, now time.Time) error {
	lines := problems(s, now)
	if s.State != node.StateRunning {
		lines = append([]string{"this node is " + s.State}, lines...)
	}
	for _, line := range lines {
		fmt.Fprintln(w, line)
	}
	switch len(lines) {
	case 0:
		return nil
	case 1:
		return mesh.Errorf(mesh.Unavailable, "1 problem")
	}
	return mesh.Errorf(mesh.Unavailable, "%d problems", len(lines))
}

// printCandidates prints the addresses of a node and of its peers, and how each fares.
func printCandidates(w io.Writer, s localapi.Status, now time.Time) {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "NODE\tADDRESS\tFROM\tSTATE\tRTT\tSINCE\tWHY")
	print := func(name string, all []localapi.Candidate) {
		for _, c := range all {
			rtt := "-"
			if c.RTT > 0 {
				rtt = millis(time.Duration(c.RTT * float64(time.Millisecond)))
			}
			fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", name, c.Addr, program.Dash(c.From), c.State, rtt, ago(c.Since, now), program.Dash(c.Why))
		}
	}
	print(s.Node.Name, s.Candidates)
	for _, p := range s.Peers {
		if print(p.Name, p.Candidates); len(p.Candidates) == 0 {
			fmt.Fprintf(tw, "%s\t-\t-\t%s\t-\t-\t-\n", p.Name, p.Path)
		}
	}
	tw.Flush()
}
