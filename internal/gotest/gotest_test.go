package gotest

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// packages is a module whose tests fail in every way that the script knows.
var packages = map[string]string{
	"go.mod": "module example.com/m\n\ngo 1.24\n",
	"once/once_test.go": `package once

import ("os"; "testing")

func TestOnce(t *testing.T) {
	t.Run("10.0.0.1", func(t *testing.T) {
		if _, err := os.Stat("tried"); err != nil {
			os.WriteFile("tried", nil, 0o600)
			t.Fatal("only the first time")
		}
	})
}

func TestFine(t *testing.T) {
	if f, err := os.OpenFile("fine", os.O_CREATE|os.O_EXCL, 0o600); err != nil {
		t.Error("runs a second time, although it did not fail")
	} else {
		f.Close()
	}
}

func TestSkipped(t *testing.T) { t.Skip("needs a moon") }
`,
	"always/always_test.go": "package always\n\nimport \"testing\"\n\nfunc TestAlways(t *testing.T) { t.Error(\"every time\") }\n",
	"build/build_test.go":   "package build\n\nfunc f() { return 1 }\n",
	"fine/fine_test.go":     "package fine\n\nimport \"testing\"\n\nfunc TestFine(t *testing.T) {}\n",
	"panics/panics_test.go": `package panics

import ("os"; "testing")

func TestPanics(t *testing.T) {
	if _, err := os.Stat("tried"); err != nil {
		os.WriteFile("tried", nil, 0o600)
		panic("only the first time")
	}
}
`,
	"exits/exits_test.go": `package exits

import ("os"; "testing")

func TestExits(t *testing.T) {
	if _, err := os.Stat("tried"); err != nil {
		os.WriteFile("tried", nil, 0o600)
		os.Exit(3)
	}
}
`,
	"slow/slow_test.go": `package slow

import ("os"; "testing"; "time")

func TestSlow(t *testing.T) {
	if _, err := os.Stat("tried"); err != nil {
		os.WriteFile("tried", nil, 0o600)
		time.Sleep(time.Hour)
	}
}
`,
	"setup/setup_test.go": `package setup

import ("os"; "testing")

func TestMain(m *testing.M) {
	code := m.Run()
	if _, err := os.Stat("tried"); err != nil {
		os.WriteFile("tried", nil, 0o600)
		code = 1
	}
	os.Exit(code)
}

func TestFine(t *testing.T) {}
`,
	"race/race_test.go": `package race

import ("os"; "testing")

func TestRace(t *testing.T) {
	if _, err := os.Stat("tried"); err == nil {
		return
	}
	os.WriteFile("tried", nil, 0o600)
	n, done := 0, make(chan bool)
	go func() { n++; close(done) }()
	n++
	<-done
}
`,
}

func TestASecondTry(t *testing.T) {
	if _, err := exec.LookPath("gotestsum"); err != nil {
		t.Skip("needs gotestsum, which .ci/run installs: go install gotest.tools/gotestsum@v1.13.0")
	}
	script, err := filepath.Abs("gotest")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, args string
		passes     bool
		want, not  string
	}{
		{"fine", "./fine", true, "ok  \texample.com/m/fine", "FLAKY"},
		{"flaky", "./once ./fine", true, "\nFLAKY: once.TestOnce\n", "FLAKY: once.TestOnce/"},
		{"the first failure is shown", "./once", true, "only the first time", "runs a second time"},
		{"skipped", "./once", true, "=== SKIP: once TestSkipped (0.00s)\n    once_test.go:22: needs a moon\n", ""},
		{"fails twice", "./always", false, "every time", "FLAKY"},
		{"one fails twice, another once", "./once ./always", false, "FLAKY: once.TestOnce\n", "FLAKY: always"},
		{"build failure", "./build ./once", false, "too many return values", "FLAKY"},
		{"panic", "./panics", false, "only the first time", "FLAKY"},
		{"process that ends", "./exits", false, "ended before its tests did", "FLAKY"},
		{"time-out", "-timeout=500ms ./slow", false, "test timed out", "FLAKY"},
		{"failure outside of tests", "./setup", false, "example.com/m/setup failed outside of its tests", "FLAKY"},
		{"data race", "-race ./race", false, "DATA RACE", "FLAKY"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if strings.Contains(tt.args, "-race") {
				if os.Geteuid() != 0 || exec.Command("gcc", "--version").Run() != nil {
					t.Skip("needs a C compiler, and compiles everything for -race: CI has done so as root")
				}
				t.Setenv("CGO_ENABLED", "1")
			}
			dir := t.TempDir()
			for name, text := range packages {
				if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			t.Setenv("GOFLAGS", "-trimpath")
			cmd := exec.Command(script, append([]string{"-count=1"}, strings.Fields(tt.args)...)...)
			cmd.Dir = dir
			b, err := cmd.CombinedOutput()
			out := string(b)
			if err != nil && !errors.As(err, new(*exec.ExitError)) {
				t.Fatal(err)
			}
			if (err == nil) != tt.passes || !strings.Contains(out, tt.want) || tt.not != "" && strings.Contains(out, tt.not) {
				t.Errorf("%s: %v; passes is %v, want %q, not %q\n%s", tt.args, err, tt.passes, tt.want, tt.not, out)
			}
		})
	}
}
