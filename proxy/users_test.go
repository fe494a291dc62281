package proxy

import (
	"bufio"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"nexd/internal/leak"
	"nexd/mesh"
)

func ExampleReadUsers() {
	users, err := ReadUsers(strings.NewReader("# who may use the proxy\nada:correct horse\n"))
	fmt.Println(err, users.Check("ada", "correct horse"), users.Check("ada", "wrong"))
	// Output: <nil> true false
}

func TestReadUsers(t *testing.T) {
	for _, tt := range []struct{ name, file, fault string }{
		{"empty", "", "has no users"},
		{"only comments", "# x\n\n", "has no users"},
		{"no colon", "ada:x\nbob\n", "line 2"},
		{"no password", "ada:\n", "line 1"},
		{"no user", ":x\n", "line 1"},
		{"twice", "ada:x\nada:y\n", `line 2 of the authentication file repeats the user "ada"`},
		{"long password", "ada:" + strings.Repeat("x", 256), "more than 255"},
		{"long line", strings.Repeat("x", 70000), "authentication file"},
		{"Windows lines", "ada:x\r\nbob:y\r\n", ""},
	} {
		u, err := ReadUsers(strings.NewReader(tt.file))
		if tt.fault == "" {
			if err != nil || !u.Check("ada", "x") || !u.Check("bob", "y") {
				t.Errorf("%s: %v", tt.name, err)
			}
			continue
		}
		if mesh.KindOf(err) != mesh.Invalid || !strings.Contains(err.Error(), tt.fault) {
			t.Errorf("%s: %v, want Invalid with %q", tt.name, err, tt.fault)
		}
		if err != nil && strings.Contains(err.Error(), "xxx") {
			t.Errorf("%s: the error shows a password: %v", tt.name, err)
		}
	}
}

func TestCheck(t *testing.T) {
	u, err := ReadUsers(strings.NewReader("ada:x:y z\nbob:b\n"))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		user, password string
		want           bool
	}{
		{"ada", "x:y z", true}, {"bob", "b", true}, {"ada", "b", false}, {"ada:x", "y z", false},
		{"", "", false}, {"eve", "b", false}, {"ada", "", false},
	} {
		if got := u.Check(tt.user, tt.password); got != tt.want {
			t.Errorf("Check(%q, %q) = %v", tt.user, tt.password, got)
		}
	}
}

// guarded is a proxy in front of node1 that admits ada with the password open.
func guarded(t *testing.T) *running {
	m := newMesh()
	m.server(t, "node1:7", echo)
	m.website(t, "site", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "authorization %q", r.Header["Proxy-Authorization"])
	})
	u, err := ReadUsers(strings.NewReader("ada:open\n"))
	if err != nil {
		t.Fatal(err)
	}
	return run(t, m, func(c *Config) { c.Auth = u.Check })
}

func TestSOCKSPasswords(t *testing.T) {
	leak.Check(t)
	p := guarded(t)
	login := func(user, password string) string {
		return "\x01" + string([]byte{byte(len(user))}) + user + string([]byte{byte(len(password))}) + password
	}
	for _, tt := range []struct{ name, send, want string }{
		{"right", "\x05\x01\x02" + login("ada", "open") + connectTo("node1", 7), "\x05\x02\x01\x00\x05\x00"},
		{"both methods", "\x05\x02\x00\x02" + login("ada", "open") + connectTo("node1", 7), "\x05\x02\x01\x00\x05\x00"},
		{"wrong", "\x05\x01\x02" + login("ada", "shut") + connectTo("node1", 7), "\x05\x02\x01\x01"},
		{"nobody", "\x05\x01\x02" + login("", "") + connectTo("node1", 7), "\x05\x02\x01\x01"},
		{"no password offered", hello + connectTo("node1", 7), "\x05\xff"},
		{"wrong version", "\x05\x01\x02\x05\x01", "\x05\x02"},
		{"SOCKS4", "\x04\x01\x00\x07\x0a\x00\x00\x01ada\x00", "\x00\x5d\x00\x00\x00\x00\x00\x00"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := p.dial(t)
			say(t, c, tt.send)
			hear(t, c, tt.want)
			if !strings.HasSuffix(tt.want, "\x05\x00") {
				hearEOF(t, c)
			}
		})
	}
}

func TestHTTPPasswords(t *testing.T) {
	leak.Check(t)
	p := guarded(t)
	basic := func(s string) string {
		return "Proxy-Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(s)) + "\r\n"
	}
	for _, tt := range []struct {
		name, request, header string
		status                int
	}{
		{"right", "GET http://site/", basic("ada:open"), 200},
		{"right CONNECT", "CONNECT node1:7", basic("ada:open"), 200},
		{"none", "GET http://site/", "", 407},
		{"none CONNECT", "CONNECT node1:7", "", 407},
		{"wrong", "GET http://site/", basic("ada:shut"), 407},
		{"no base64", "GET http://site/", "Proxy-Authorization: Basic !!\r\n", 407},
		{"for the site, not for us", "GET http://site/", "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte("ada:open")) + "\r\n", 407},
		{"auto-configuration", "GET /proxy.pac", "", 200},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := p.dial(t)
			say(t, c, tt.request+" HTTP/1.1\r\nHost: x\r\n"+tt.header+"\r\n")
			method, _, _ := strings.Cut(tt.request, " ")
			res, err := http.ReadResponse(bufio.NewReader(c), &http.Request{Method: method})
			if err != nil {
				t.Fatal(err)
			}
			if res.StatusCode != tt.status || (tt.status == 407) != (res.Header.Get("Proxy-Authenticate") != "") {
				t.Errorf("%s, header %v", res.Status, res.Header)
			}
			if tt.name == "right" {
				if b, _ := io.ReadAll(res.Body); string(b) != "authorization []" {
					t.Errorf("the site heard %s", b)
				}
			}
		})
	}
}
