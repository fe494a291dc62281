package main

import (
	"bytes"
	"strings"
	"testing"

	"nexd/internal/program"
)

// FuzzConfigFile: whatever a file holds, it is either faulted or made of words, and
// nothing but words of the file become values.
func FuzzConfigFile(f *testing.F) {
	for _, s := range []string{
		"", "# nothing\n", "hostname: ada\n", "local-forward: [8080:node1:80, \"1:a:1\"]\nmtu: 1300\n", "a: &x 1\nb: *x\n",
		"- a\n", "a: {b: c}\n", "a:\n", "a: b\na: c\n", "a: [", "a: !!binary aGVsbG8=\n", "? [a]\n: b\n", "<<: {a: b}\n", "%YAML 9\n---\na: b\n---\nc: d\n", "a: |\n  x\n  y\n",
	} {
		f.Add([]byte(s))
	}
	parser, err := newParser(&cli{std: program.Streams{In: strings.NewReader(""), Out: new(bytes.Buffer), Err: new(bytes.Buffer)}})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		file := &configFile{path: "nexd.yaml", keys: map[string]configValue{}}
		file.parse(text)
		for _, fault := range file.check(parser.Model) {
			if !strings.HasPrefix(fault.Error(), "nexd.yaml") {
				t.Errorf("a fault does not name the file: %v", fault)
			}
		}
		for key, v := range file.keys {
			if !v.list && len(v.values) != 1 || v.line < 1 {
				t.Errorf("%q: %+v of %q", key, v, text)
			}
		}
	})
}

// FuzzSplitRules: taking rules apart at their commas loses and adds nothing.
func FuzzSplitRules(f *testing.F) {
	for _, s := range []string{"8080:a:80", "8080:a:80,b:80,8081:c:1", "/run/a:b:1,80:/run/x", ",,", "[::1]:1:[fd00::1]:2,[fd00::2]:2", "[[[:::,"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		out := splitRules([]string{s})
		if strings.Join(out, ",") != s {
			t.Errorf("%q is split into %q", s, out)
		}
		for _, rule := range out[1:] {
			if !isRule(strings.SplitN(rule, ",", 2)[0]) {
				t.Errorf("%q of %q is no rule", rule, s)
			}
		}
	})
}
