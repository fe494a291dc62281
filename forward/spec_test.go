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
		if err != nil || s.listensAt(0)[0][1] != tt.listen || s.Target() != tt.target || s.Network != tt.network || s.String() != tt.text {
			t.Errorf("ParseLocal(%q) = %v (listens %v), %v", tt.in, s, s.listensAt(0), err)
		}
	}
}

func TestParseRangesPathsAndLists(t *testing.T) {
	for _, tt := range []struct {
		d                  Direction
		in                 string
		listen, to, at1    string // the first port's, and where the second goes
		targets, listeners int
		text               string
	}{
		{Local, "8000-8010:node1:9000-9010", "127.0.0.1:8000", "node1:9000", "node1:9001", 1, 1, ""},
		{Local, "[::1]:8000-8001:[fd00::1]:9000-9001/udp", "[::1]:8000", "[fd00::1]:9000", "[fd00::1]:9001", 1, 1, ""},
		{Remote, "8000-8001:localhost:9000-9001", "0.0.0.0:8000", "localhost:9000", "localhost:9001", 1, 2, ""},
		{Local, "80:a:1,b:2,[fd00::1]:3", "127.0.0.1:80", "a:1", "a:2", 3, 1, ""},
		{Local, "80:a:1,B:2/udp", "127.0.0.1:80", "a:1", "a:2", 2, 1, "80:a:1,b:2/udp"},
		{Local, "80:a:1,b:2/tcp", "127.0.0.1:80", "a:1", "a:2", 2, 1, "80:a:1,b:2"},
		{Local, "80-81:a:1-2,b:3-4", "127.0.0.1:80", "a:1", "a:2", 2, 1, ""},
		{Local, "/run/x.sock:node1:80", "/run/x.sock", "node1:80", "node1:81", 1, 1, ""},
		{Local, "/run/udp:node1:80/tcp", "/run/udp", "node1:80", "node1:81", 1, 1, "/run/udp:node1:80"},
		{Remote, "80:/run/udp", "0.0.0.0:80", "/run/udp", "/run/udp", 1, 2, ""},
		{Remote, "80:/run/a,/run/b,localhost:80", "0.0.0.0:80", "/run/a", "/run/a", 3, 2, ""},
		{Remote, "80:/run/a,localhost:80/tcp", "0.0.0.0:80", "/run/a", "/run/a", 2, 2, "80:/run/a,localhost:80"},
	} {
		s, err := parse(tt.d, tt.in)
		if tt.text == "" {
			tt.text = tt.in
		}
		if err != nil || s.String() != tt.text || s.listensAt(0)[0][1] != tt.listen || len(s.listensAt(0)) != tt.listeners ||
			s.Target() != tt.to || s.targets(1)[0] != tt.at1 || len(s.targets(0)) != tt.targets {
			t.Errorf("%s %s = %#v (%s), %v", tt.d.Flag(), tt.in, s, s, err)
		}
	}
}

func TestParseRefusesRangesPathsAndLists(t *testing.T) {
	for _, tt := range []struct {
		d        Direction
		in, want string
	}{
		{Local, "8000-8010:node1:9000", "differ in size: 11 and 1"},
		{Local, "8000:node1:9000-9001", "differ in size: 1 and 2"},
		{Local, "8010-8000:node1:1-11", "is not ascending"},
		{Local, "1-2000:node1:1-2000", "at most 1024"},
		{Local, "0-5:node1:1-6", `port "0"`},
		{Local, "80:a:1,", "missing target after the comma"},
		{Local, "80:a:1,,b:2", `target "" must be HOST:HOSTPORT`},
		{Local, "80:a:1,b", `target "b" must be`},
		{Local, "80:a:1/udp,b:2", `"1/udp"`},
		{Local, "80:a:1" + strings.Repeat(",a:1", 32), "33 targets"},
		{Local, "80:/run/x", "expected [BIND:]PORT"},
		{Local, "80:a:1,/run/x", "is a Unix socket, but"},
		{Local, "/run/x:node1:80/udp", "cannot carry UDP"},
		{Local, "/run/x:node1", "expected /PATH:HOST:HOSTPORT"},
		{Local, "/" + strings.Repeat("x", 101) + ":node1:80", "longer than 100"},
		{Remote, "80:a:1,/run/x/udp", ""},
		{Remote, "80:/run/x,a:1/udp", "cannot carry UDP"},
		{Remote, "80-81:/run/x", "single socket"},
		{Remote, "/run/x:a:80", "port"},
	} {
		_, err := parse(tt.d, tt.in)
		if (err != nil) != (tt.want != "") || err != nil && (mesh.KindOf(err) != mesh.Invalid || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s %s: %v, want %q", tt.d.Flag(), tt.in, err, tt.want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for _, tt := range []struct{ in, local, remote string }{
		{"", "expected [BIND:]PORT:HOST:HOSTPORT", "expected PORT:HOST:HOSTPORT"},
		{"8080", "expected [BIND:]PORT", "expected PORT"},
		{"8080:80", "expected [BIND:]PORT", "expected PORT"},
		{"http:h:80", `port "http" must be a number from 0`, `port "http" must be a number from 1`},
		{"8080:h:http", `port "http" must be a number from 1`, `port "http"`},
		{"8080:h:0", `port "0"`, `port "0"`},
		{"65536:h:80", `port "65536"`, `port "65536"`},
		{"+80:h:80", `port "+80"`, `port "+80"`},
		{"080:h:80", `port "080"`, `port "080"`},
		{"-1:h:80", `port "-1"`, `port "-1"`},
		{"8080::80", `host "" is neither`, `host "" is neither`},
		{"8080:fd00::1:80", "needs brackets", "needs brackets"},
		{"8080:[fd00::1:80", "missing ] after", "missing ] after"},
		{"8080:[fd00::1]80", `"80" after "[fd00::1]"`, `"80" after`},
		{"8080:[10.0.0.1]:80", "not an IPv6 address in brackets", "not an IPv6 address in brackets"},
		{"8080:[fe80::1%eth0]:80", "has a zone", "has a zone"},
		{"8080:0.0.0.0:80", "not an address to connect to", "not an address to connect to"},
		{"8080:10.0.0.256:80", `host "10.0.0.256" is neither`, `host "10.0.0.256"`},
		{"8080:-h:80", `host "-h"`, `host "-h"`},
		{"8080:a b:80", `host "a b"`, `host "a b"`},
		{"8080:h:80/sctp", `protocol "sctp"`, `protocol "sctp"`},
		{"8080:h:80/", `protocol ""`, `protocol ""`},
		{":8080:h:80", "use 0.0.0.0 or [::]", "takes no bind address"},
		{"*:8080:h:80", "use 0.0.0.0 or [::]", "takes no bind address"},
		{"eth0:8080:h:80", `bind address "eth0" is not an address`, "takes no bind address"},
		{"1:2:3:4:5", "5 fields", "5 fields"},
	} {
		for _, d := range []Direction{Local, Remote} {
			want := tt.local
			if d == Remote {
				want = tt.remote
			}
			_, err := parse(d, tt.in)
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
	if got := s.listensAt(0); len(got) != 2 || got[0] != [2]string{"udp4", "0.0.0.0:53"} || got[1] != [2]string{"udp6", "[::]:53"} {
		t.Errorf("listens on %v", got)
	}
	if _, err := ParseRemote("0:h:80"); err == nil {
		t.Error("a remote forward without a port is taken")
	}
}

func fuzz(f *testing.F, d Direction) {
	for _, s := range []string{"8080:node1:80", "[::1]:1:[fd00::1]:2/udp", "0.0.0.0:80:10.0.0.1:80/tcp", ":::", "[]:[]:[]",
		"1-2:a:3-4,b:5-6/udp", "/run/a:node1:80", "80:/run/a,/run/b", "80:a:1,/x/udp"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		s, err := parse(d, in)
		if err != nil {
			return
		}
		if again, err := parse(d, s.String()); err != nil || again != s {
			t.Fatalf("%q is %#v, whose text %q reads back as %#v, %v", in, s, s, again, err)
		}
		if err := s.check(); err != nil {
			t.Fatalf("%q: %v", in, err)
		}
	})
}

func FuzzParseLocal(f *testing.F)  { fuzz(f, Local) }
func FuzzParseRemote(f *testing.F) { fuzz(f, Remote) }
