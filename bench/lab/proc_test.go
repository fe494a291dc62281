//go:build linux

package lab

import (
	"math"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

func TestParseStat(t *testing.T) {
	const tail = " S 1 2 3 4 5 6 7 8 9 10 150 50 0 0 20 0 9 0 100"
	for _, name := range []string{"(nexd)", "(a b) c)", "()"} {
		if got, err := parseStat("42 " + name + tail); got != 2*time.Second || err != nil {
			t.Errorf("parseStat of %s = %v, %v", name, got, err)
		}
	}
	for _, bad := range []string{"", "42 (x) S 1 2", "42 (x) S 1 2 3 4 5 6 7 8 9 10 x 50 0 0"} {
		if got, err := parseStat(bad); err == nil {
			t.Errorf("parseStat(%q) = %v", bad, got)
		}
	}
}

func TestParseMachine(t *testing.T) {
	got, err := parseMachine("cpu  100 10 50 9999 888 5 20 15 0 0\ncpu0 1 2\n")
	if want := (MachineTime{Busy: 2 * time.Second, Stolen: 150 * time.Millisecond}); got != want || err != nil {
		t.Errorf("parseMachine = %+v, %v, want %+v: idle and iowait do not count", got, err, want)
	}
	for _, bad := range []string{"", "cpu 1 2 3", "intr 1 2 3 4 5 6 7 8 9", "cpu 1 2 3 4 5 6 7 x"} {
		if got, err := parseMachine(bad); err == nil {
			t.Errorf("parseMachine(%q) = %v", bad, got)
		}
	}
}

func TestParseMemory(t *testing.T) {
	got, err := parseMemory("Name:\tnexd\nVmPeak:\t  9 kB\nVmHWM:\t   2048 kB\nVmRSS:\t   1024 kB\n")
	if want := (Memory{Resident: 1 << 20, Peak: 2 << 20}); got != want || err != nil {
		t.Errorf("parseMemory = %+v, %v", got, err)
	}
	if got, err := parseMemory("Name:\tnexd\nVmRSS:\t1 kB\n"); err == nil {
		t.Errorf("a status without VmHWM gave %+v", got)
	}
}

// TestOwnProcess reads the real files once.
func TestOwnProcess(t *testing.T) {
	p := &Process{cmd: &exec.Cmd{}}
	p.cmd.Process, _ = os.FindProcess(os.Getpid())
	for end := time.Now().Add(30 * time.Millisecond); time.Now().Before(end); {
	}
	m, err := MemoryOf(p)
	if err != nil || m.Resident < 1<<20 || m.Peak < m.Resident {
		t.Errorf("memory %+v, %v", m, err)
	}
	cpu, err := CPUOf(p)
	if err != nil || cpu == 0 {
		t.Errorf("cpu %v, %v", cpu, err)
	}
	if all, err := ReadMachine(); err != nil || all.Busy < cpu {
		t.Errorf("machine %+v, %v", all, err)
	}
	if m, err := MemoryOf(nil); m != (Memory{}) || err != nil {
		t.Errorf("memory of no process: %+v, %v", m, err)
	}
}

func TestLinesAndTail(t *testing.T) {
	w := &lineWriter{to: make(chan string, 3)}
	for _, part := range []string{"rea", "dy a\nnext\nno", "t yet"} {
		w.Write([]byte(part))
	}
	if a, b := <-w.to, <-w.to; a != "ready a" || b != "next" || len(w.to) != 0 {
		t.Errorf("lines %q %q", a, b)
	}
	p := new(Process)
	(*tail)(p).Write([]byte(strings.Repeat("x", tailSize)))
	(*tail)(p).Write([]byte("the end"))
	if said := p.Said(); len(said) != tailSize || !strings.HasSuffix(said, "xthe end") {
		t.Errorf("tail of %d bytes ends in %q", len(said), said[len(said)-10:])
	}
}

func TestStolenPercent(t *testing.T) {
	before := MachineTime{Busy: 10 * time.Second, Stolen: time.Second}
	after := MachineTime{Busy: 14 * time.Second, Stolen: 1300 * time.Millisecond}
	if got := after.Since(before).StolenPercent(); math.Abs(got-7.5) > 1e-9 {
		t.Errorf("0.3 s of 4 s are %v %%, want 7.5", got)
	}
	if got := after.Since(after).StolenPercent(); got != 0 {
		t.Errorf("of no time %v %% are stolen", got)
	}
}
