//go:build linux

package main

import (
	"bytes"
	"io"
	"net/rpc"
	"strings"
	"testing"

	"nexd/bench/lab"
	"nexd/bench/load"
	"nexd/bench/report"
	"nexd/internal/leak"
)

// TestQuestionsOverStdio starts a server as the benchmark does, without a process.
func TestQuestionsOverStdio(t *testing.T) {
	leak.Check(t)
	theirIn, in := io.Pipe()
	out, theirOut := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		ended <- run(t.Context(), []string{load.RoleServer, "-listen=127.0.0.1:0"}, theirIn, theirOut, io.Discard)
	}()
	client := rpc.NewClient(load.Stdio{ReadCloser: out, WriteCloser: in})
	n := int64(-1)
	if err := client.Call("Load.Received", struct{}{}, &n); err != nil || n != 0 {
		t.Errorf("received %d, %v", n, err)
	}
	client.Close()
	if err := <-ended; err != nil {
		t.Errorf("the server ended with %v", err)
	}
	if err := run(t.Context(), []string{load.RoleClient, "-target=nonsense"}, strings.NewReader(""), io.Discard, io.Discard); err == nil {
		t.Error("a client without a target started")
	}
}

// A full run has figures for every goal, so the goals name scenarios, systems and
// metrics that exist.
func TestAFullRunTellsEveryGoal(t *testing.T) {
	full := report.New(systemNames(), "cubic", nil)
	for _, name := range scenarioNames() {
		s := full.Scenario(name, "")
		all := report.Sample{}
		for _, m := range report.Metrics() {
			all[m] = 1
		}
		for _, system := range systemNames() {
			s.Add(system, all)
		}
	}
	if untold := full.Untold(); len(untold) > 0 {
		t.Errorf("a full run says nothing about %q", untold)
	}
	if untold := report.New(nil, "", nil).Untold(); len(untold) == 0 {
		t.Error("an empty run says something about every goal")
	}
}

func TestCompareReadsEarlierRuns(t *testing.T) {
	r := report.New([]string{"nexd"}, "cubic", nil)
	s := r.Scenario("fast", "")
	s.Add("nexd", report.Sample{"peak_mib_a": 40})
	path, err := r.Save(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := run(t.Context(), []string{"-compare", path, path}, nil, &out, io.Discard); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "| peak memory A |") || !strings.Contains(out.String(), "run 2") {
		t.Errorf("printed\n%s", &out)
	}
	if err := run(t.Context(), []string{"-compare", path + ".none"}, nil, io.Discard, io.Discard); err == nil {
		t.Error("a file that is not there was compared")
	}
}

// A run on a machine that loses its processor time is stopped after its first round.
func TestStolenTimeStopsARun(t *testing.T) {
	res := report.New([]string{"nexd"}, "cubic", nil)
	r := &runner{res: res, before: lab.MachineTime{Stolen: -1 << 62}}
	if err := r.checkStolen(); err == nil || !strings.Contains(err.Error(), "refused") {
		t.Errorf("%v %% stolen: %v", res.StolenPercent, err)
	}
	res.StolenAllowed = true
	if err := r.checkStolen(); err != nil {
		t.Errorf("allowed, but %v", err)
	}
}
