package hostport_test

import (
	"testing"

	"nexd/internal/hostport"
)

func TestLiteral(t *testing.T) {
	for host, want := range map[string]string{
		"172.24.0.10": "172.24.0.10", "172.24.0.10.": "172.24.0.10",
		"fd5e::3": "fd5e::3", "[fd5e::3]": "fd5e::3", "FD5E:0::3": "fd5e::3", "[FD5E:0:0:0::3]": "fd5e::3",
		"fe80::1%eth0": "fe80::1", "[fe80::1%eth0]": "fe80::1", "fd5e::3.": "fd5e::3",
		"::ffff:172.24.0.10": "172.24.0.10", "[::ffff:172.24.0.10]": "172.24.0.10", "[::ffff:ac18:a]": "172.24.0.10",
		"": "", ".": "", "[]": "", "node1": "", "node1.": "", "[node1]": "", "[fd5e::3": "", "fd5e::3]": "", "[[fd5e::3]]": "",
		"[fd5e::3].": "", "[fd5e::3.]": "", "[172.24.0.10]": "", "172.24.0.10..": "", "172.24.10": "", "0xac18000a": "", "172.024.0.10": "",
		"[fd5e::3%]": "", " fd5e::3": "",
	} {
		got, ok := hostport.Literal(host)
		if ok != (want != "") || ok && got.String() != want {
			t.Errorf("Literal(%q) = %v, %v; want %q", host, got, ok, want)
		}
	}
}
