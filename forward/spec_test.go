package forward

import (
	"strings"
	"testing"

	"nexd/mesh"
)

func TestParseLocal(t *testing.T) {
	for _, tt := range []struct{ in, listen, target, network, text string }{
		{"8080:node1:80", "127.0.0.1:8080", "node1:80", "tcp", ""},
		{"8080:172.24.0.10:80", "127.0.0.1:8080", "172.24.0.10:80", "tcp", ""},
		{"0.0.0.0:8080:node1:80", "0.0.0.0:8080", "node1:80", "tcp", ""},
		{"[::1]:8080:[fd00::1]:80", "[::1]:8080", "[fd00::1]:80", "tcp", ""},
		{"[::]:5353:[fd00:0::1]:53/udp", "[::]:5353", "[fd00::1]:53", "udp", "[::]:5353:[fd00::1]:53/udp"},
		{"8080:Node1.Nexd.Internal.:80/tcp", "127.0.0.1:8080", "node1.nexd.internal:80", "tcp", "8080:node1.nexd.internal:80"},
		{"localhost:8080:a_b:80", "127.0.0.1:8080", "a_b:80", "tcp", "8080:a_b:80"},
		{"127.0.0.1:8080:h:80", "127.0.0.1:8080", "h:80", "tcp", "8080:h:80"},
		{"0:h:80", "127.0.0.1:0", "h:80", "tcp", ""},
		{"8080:[::ffff:10.0.0.1]:80", "127.0.0.1:8080", "10.0.0.1:80", "tcp", "8080:10.0.0.1:80"},
	} {
		s, err := ParseLocal(tt.in)
		if tt.text == "" {
			tt.text = tt.in
		}
		if err != nil || s.listens()[0][1] != tt.listen || s.Target() != tt.target || s.Network != tt.network || s.String() != tt.text {
			t.Errorf("ParseLocal(%q) = %v (listens %v), %v", tt.in, s, s.listens(), err)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for _, tt := range []struct{ in, local, remote string }{
		{"", "want [BIND:]PORT:HOST:HOSTPORT", "want PORT:HOST:HOSTPORT"},
		{"8080", "want [BIND:]PORT", "want PORT"},
		{"8080:80", "want [BIND:]PORT", "want PORT"},
		{"http:h:80", `port "http" is not a number from 0`, `port "http" is not a number from 1`},
		{"8080:h:http", `port "http" is not a number from 1`, `port "http"`},
		{"8080:h:0", `port "0"`, `port "0"`},
		{"65536:h:80", `port "65536"`, `port "65536"`},
		{"+80:h:80", `port "+80"`, `port "+80"`},
		{"080:h:80", `port "080"`, `port "080"`},
		{"-1:h:80", `port "-1"`, `port "-1"`},
		{"8080::80", `host "" is neither`, `host "" is neither`},
		{"8080:fd00::1:80", "needs brackets", "needs brackets"},
		{"8080:[fd00::1:80", "no ] after", "no ] after"},
		{"8080:[fd00::1]80", `"80" after "[fd00::1]"`, `"80" after`},
		{"8080:[10.0.0.1]:80", "not an IPv6 address in brackets", "not an IPv6 address in brackets"},
		{"8080:[fe80::1%eth0]:80", "has a zone", "has a zone"},
		{"8080:0.0.0.0:80", "no address to connect to", "no address to connect to"},
		{"8080:10.0.0.256:80", `host "10.0.0.256" is neither`, `host "10.0.0.256"`},
		{"8080:-h:80", `host "-h"`, `host "-h"`},
		{"8080:a b:80", `host "a b"`, `host "a b"`},
		{"8080:h:80/sctp", `"sctp" after the slash`, `"sctp" after the slash`},
		{"8080:h:80/", `"" after the slash`, `"" after the slash`},
		{":8080:h:80", "write 0.0.0.0 or [::]", "no address to choose"},
		{"*:8080:h:80", "write 0.0.0.0 or [::]", "no address to choose"},
		{"eth0:8080:h:80", `bind address "eth0" is not an address`, "no address to choose"},
		{"1:2:3:4:5", "5 fields", "5 fields"},
	} {
		for _, d := range []Direction{Local, Remote} {
			want := tt.local
			if d == Remote {
				want = tt.remote
			}
			_, err := Parse(d, tt.in)
			if mesh.KindOf(err) != mesh.Invalid || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), d.Flag()) {
				t.Errorf("Parse(%v, %q) = %v, want an Invalid error with %q", d, tt.in, err, want)
			}
		}
	}
}

func TestParseRemoteListensOnBothFamilies(t *testing.T) {
	s, err := ParseRemote("53:127.0.0.1:5353/udp")
	if err != nil || s.String() != "53:127.0.0.1:5353/udp" {
		t.Fatalf("%v, %v", s, err)
	}
	if got := s.listens(); len(got) != 2 || got[0] != [2]string{"udp4", "0.0.0.0:53"} || got[1] != [2]string{"udp6", "[::]:53"} {
		t.Errorf("listens on %v", got)
	}
	if _, err := ParseRemote("0:h:80"); err == nil {
		t.Error("a remote forward without a port is taken")
	}
}

func fuzz(f *testing.F, d Direction) {
	for _, s := range []string{"8080:node1:80", "[::1]:1:[fd00::1]:2/udp", "0.0.0.0:80:10.0.0.1:80/tcp", ":::", "[]:[]:[]"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		s, err := Parse(d, in)
		if err != nil {
			return
		}
		if again, err := Parse(d, s.String()); err != nil || again != s {
			t.Fatalf("%q is %#v, whose text %q reads back as %#v, %v", in, s, s, again, err)
		}
		if err := s.check(); err != nil {
			t.Fatalf("%q: %v", in, err)
		}
	})
}

func FuzzParseLocal(f *testing.F)  { fuzz(f, Local) }
func FuzzParseRemote(f *testing.F) { fuzz(f, Remote) }
