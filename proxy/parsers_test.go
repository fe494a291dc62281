package proxy

import (
	"encoding/json"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// FuzzTarget checks that the target of an HTTP request becomes a valid HOST:PORT, or an error.
func FuzzTarget(f *testing.F) {
	for _, s := range []string{"node1:80", "[fd00::1]:443", "10.0.0.1:0", ":80", "a:b:c", "[::1%eth0]:7", "x:65536", strings.Repeat("a", 300) + ":1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		address, err := splitTarget(s)
		if err != nil {
			return
		}
		host, port, err := net.SplitHostPort(address)
		if err != nil || port == "" || port == "0" || !plausible(host) {
			t.Errorf("%q becomes %q, %v", s, address, err)
		}
	})
}

// FuzzUsers checks that a parsed file admits the users of its lines, and nobody else.
func FuzzUsers(f *testing.F) {
	for _, s := range []string{"", "ada:secret", "# nobody\n\nada:a:b c\r\nbob:x\n", "ada", ":x", "a:", "a:1\na:2", strings.Repeat("x", 300) + ":y"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		users, err := ReadUsers(strings.NewReader(text))
		if err != nil {
			return
		}
		for line := range strings.SplitSeq(text, "\n") {
			line = strings.TrimSuffix(line, "\r")
			user, password, ok := strings.Cut(line, ":")
			if !ok || strings.HasPrefix(line, "#") || strings.TrimSpace(line) == "" {
				continue
			}
			if !users.Check(user, password) {
				t.Errorf("%q of %q is not known", line, text)
			}
			if users.Check(user, password+"x") && !strings.Contains(text, password+"x") {
				t.Errorf("%q of %q is known with another password", line, text)
			}
		}
	})
}

// FuzzPAC checks that no Host header and no map can change the structure of the script.
func FuzzPAC(f *testing.F) {
	f.Add("127.0.0.1:1080", "node1", "nexd.internal", []byte{172, 24, 0, 0}, 20)
	f.Add("x\"+alert()+\"", "</script>\u2028\"];", "\\", []byte{1: 0x24, 15: 1}, 64)
	f.Fuzz(func(t *testing.T, self, name, suffix string, addr []byte, bits int) {
		if !plainHost(self) {
			self = "127.0.0.1:1080"
		}
		reach := Reach{Names: []string{name}, Suffixes: []string{suffix}}
		if a, ok := netip.AddrFromSlice(addr); ok {
			if p, err := a.Prefix(bits); err == nil {
				reach.Prefixes = []netip.Prefix{p}
			}
		}
		script := pacFile(self, reach)
		if got, want := strings.Count(script, "\n"), strings.Count(pacFile("p:1", testReach), "\n"); got != want || strings.ContainsAny(script, "\u2028\u2029\r") {
			t.Errorf("the script has %d lines, want %d:\n%s", got, want, script)
		}
		for variable, want := range map[string]string{"names": name, "suffixes": suffix} {
			_, rest, _ := strings.Cut(script, "\nvar "+variable+" = ")
			line, _, _ := strings.Cut(rest, "\n")
			var words []string
			err := json.Unmarshal([]byte(strings.TrimSuffix(line, ";")), &words)
			if err != nil || utf8.ValidString(want) && !slices.Equal(words, []string{want}) {
				t.Errorf("%s are %s, %v; want %q", variable, line, err, want)
			}
		}
		if line := "\nvar via = \"SOCKS5 " + self + "; PROXY " + self + "\";\n"; !strings.Contains(script, line) {
			t.Errorf("no %q in\n%s", line, script)
		}
	})
}
