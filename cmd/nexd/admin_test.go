package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"nexd/cmd/nexd/internal/admin"
	"nexd/control"
	"nexd/internal/program"
)

var apiToken = "nxt_" + strings.Repeat("t", 32)

// adminService is a fake of the wire: it notes what it is asked and answers by
// method and path.
type adminService struct {
	*httptest.Server
	asked   []string
	answers map[string]string
}

func newAdminService(t *testing.T) *adminService {
	s := &adminService{answers: map[string]string{
		"GET /v1/users/me":                                    `{"email":"ada@example.org","scopes":["write"],"organizations":[{"id":"o_2","name":"lab"},{"id":"o_1","name":"default","default":true,"role":"owner"}]}`,
		"PUT /v1/users/me/default-organization":               `{}`,
		"GET /v1/orgs":                                        `{"organizations":[{"id":"o_1","name":"default","role":"owner","default":true}]}`,
		"POST /v1/orgs":                                       `{"id":"o_3","name":"new"}`,
		"GET /v1/orgs/o_1/nodes":                              `{"nodes":[{"id":"n_1","name":"laptop\u001b[2J\u202e","online":true,"prefixes":[{"prefix":"172.24.0.0/24"}]}]}`,
		"GET /v1/orgs/lab/nodes":                              `{"nodes":[]}`,
		"GET /v1/orgs/o_1/nodes/laptop":                       `{"id":"n_1","name":"laptop"}`,
		"DELETE /v1/orgs/o_1/nodes/laptop":                    `{"id":"n_1","name":"laptop"}`,
		"GET /v1/orgs/o_1/prefixes":                           `{"prefixes":[{"prefix":"172.24.0.0/24","holder_name":"node1"}]}`,
		"DELETE /v1/orgs/o_1/prefixes?prefix=172.24.0.0%2F24": `{"prefix":"172.24.0.0/24","holder_name":"node1"}`,
		"GET /v1/orgs/o_1/keys":                               `{"keys":[{"id":"k_1","prefix":"nxk_abcd","state":"usable","reusable":true}]}`,
		"POST /v1/orgs/o_1/keys":                              `{"id":"k_2","prefix":"nxk_wxyz","key":"nxk_SECRET"}`,
		"DELETE /v1/orgs/o_1/keys/nxk_abcd":                   `{"id":"k_1","prefix":"nxk_abcd"}`,
		"GET /v1/orgs/o_1/members":                            `{"members":[{"email":"ada@example.org","role":"owner"}]}`,
		"PUT /v1/orgs/o_1/members/bob@example.org":            `{"email":"bob@example.org","role":"auditor"}`,
		"DELETE /v1/orgs/o_1/members/bob@example.org":         `{"email":"bob@example.org"}`,
		"GET /v1/orgs/o_1/invitations":                        `{"invitations":[{"id":"i_1","state":"open"}]}`,
		"POST /v1/orgs/o_1/invitations":                       `{"id":"i_2","role":"member","link":"/invite/SECRET"}`,
		"DELETE /v1/orgs/o_1/invitations/i_1":                 `{"id":"i_1"}`,
		"POST /v1/invitations/accept":                         `{"name":"lab","role":"member"}`,
		"GET /v1/tokens":                                      `{"tokens":[{"id":"t_1","prefix":"nxt_abcd","scopes":["read"]}]}`,
		"POST /v1/tokens":                                     `{"id":"t_2","token":"nxt_SECRET"}`,
		"DELETE /v1/tokens/t_1":                               `{"id":"t_1","prefix":"nxt_abcd"}`,
		"GET /v1/approvals/WDJB-MJHT":                         `{"user_code":"WDJB-MJHT","hostname":"laptop","fingerprint":"6668 7aad","address":"192.0.2.7"}`,
		"POST /v1/approvals/WDJB-MJHT/approve":                `{"hostname":"laptop","fingerprint":"6668 7aad"}`,
		"POST /v1/approvals/WDJB-MJHT/deny":                   `{"hostname":"laptop","fingerprint":"6668 7aad"}`,
		"GET /v1/orgs/o_1/audit?limit=50":                     `{"entries":[{"id":"9","actor":"ada@example.org","action":"key.create"}],"next":"9"}`,
		"GET /v1/orgs/o_1/audit?before=9&limit=49":            `{"entries":[{"id":"8","actor":"node laptop","action":"node.create","before":"{\"a\":1}"}]}`,
	}}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *adminService) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	what := r.Method + " " + r.URL.RequestURI()
	s.asked = append(s.asked, strings.TrimSpace(what+" "+string(body)))
	answer, ok := s.answers[what]
	if !ok || r.Header.Get("Authorization") != "Bearer "+apiToken {
		w.Header().Set("Content-Type", control.TypeProblem)
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprint(w, `{"kind":"not_found","detail":"no such thing"}`)
		return
	}
	w.Header().Set("Content-Type", control.TypeJSON)
	fmt.Fprint(w, answer)
}

// admin runs a command of admin against the service.
func (s *adminService) admin(stdin string, args ...string) (out, errs string, code int) {
	var o, e bytes.Buffer
	code = run(context.Background(), append([]string{"admin", "--service-url=" + s.URL, "--insecure-http"}, args...), program.Streams{In: strings.NewReader(stdin), Out: &o, Err: &e})
	return o.String(), e.String(), code
}

func TestAdminCommands(t *testing.T) {
	t.Setenv("NEXD_ADMIN_TOKEN", apiToken)
	s := newAdminService(t)
	for _, tt := range []struct {
		args  string
		asked string // the last request
		out   string
	}{
		{"user", "GET /v1/users/me", "ada@example.org"},
		{"org", "GET /v1/orgs", "default"},
		{"org list", "GET /v1/orgs", "owner"},
		{"org create new", `POST /v1/orgs {"name":"new"}`, "Created organization new"},
		{"org default lab", `PUT /v1/users/me/default-organization {"organization":"lab"}`, "lab"},
		{"node list", "GET /v1/orgs/o_1/nodes", "172.24.0.0/24"},
		{"node list --org=lab", "GET /v1/orgs/lab/nodes", "NAME"},
		{"node show laptop", "GET /v1/orgs/o_1/nodes/laptop", "laptop"},
		{"node remove laptop", "DELETE /v1/orgs/o_1/nodes/laptop", "Removed laptop"},
		{"node pending WDJB-MJHT", "GET /v1/approvals/WDJB-MJHT", "192.0.2.7"},
		{"node approve WDJB-MJHT", "POST /v1/approvals/WDJB-MJHT/approve {}", "Approved laptop"},
		{"node approve --org=lab WDJB-MJHT", `POST /v1/approvals/WDJB-MJHT/approve {"organization":"lab"}`, "6668 7aad"},
		{"node deny WDJB-MJHT", "POST /v1/approvals/WDJB-MJHT/deny", "Denied laptop"},
		{"device", "GET /v1/orgs/o_1/nodes", "172.24.0.0/24"}, // the old word for node
		{"device list --org=lab", "GET /v1/orgs/lab/nodes", "NAME"},
		{"device show laptop", "GET /v1/orgs/o_1/nodes/laptop", "laptop"},
		{"device remove laptop", "DELETE /v1/orgs/o_1/nodes/laptop", "Removed laptop"},
		{"device approve WDJB-MJHT", "POST /v1/approvals/WDJB-MJHT/approve {}", "Approved laptop"},
		{"prefix", "GET /v1/orgs/o_1/prefixes", "node1"},
		{"prefix release 172.24.0.0/24", "DELETE /v1/orgs/o_1/prefixes?prefix=172.24.0.0%2F24", "Released 172.24.0.0/24, which node1 held."},
		{"key list", "GET /v1/orgs/o_1/keys", "nxk_abcd…"},
		{"key create --uses=2 --expires=1d --description=x", `POST /v1/orgs/o_1/keys {"description":"x","uses":2,"expires_in":86400}`, "nxk_SECRET\n"},
		{"key revoke nxk_abcd…", "DELETE /v1/orgs/o_1/keys/nxk_abcd", "Revoked key k_1"},
		{"member", "GET /v1/orgs/o_1/members", "owner"},
		{"member role bob@example.org auditor", `PUT /v1/orgs/o_1/members/bob@example.org {"role":"auditor"}`, "now auditor"},
		{"member remove bob@example.org", "DELETE /v1/orgs/o_1/members/bob@example.org", "Removed bob"},
		{"invitation", "GET /v1/orgs/o_1/invitations", "open"},
		{"invitation create --expires=12h", `POST /v1/orgs/o_1/invitations {"role":"member","expires_in":43200}`, s.URL + "/invite/SECRET\n"},
		{"invitation revoke i_1", "DELETE /v1/orgs/o_1/invitations/i_1", "Revoked"},
		{"invitation accept -", `POST /v1/invitations/accept {"token":"SECRET"}`, "member in lab"},
		{"token", "GET /v1/tokens", "nxt_abcd…"},
		{"token create", `POST /v1/tokens {"scopes":["read"]}`, "nxt_SECRET\n"},
		{"token revoke t_1", "DELETE /v1/tokens/t_1", "Revoked"},
		{"audit", "GET /v1/orgs/o_1/audit?before=9&limit=49", "node.create"},
	} {
		out, errs, code := s.admin(s.URL+"/invite/SECRET", strings.Fields(tt.args)...)
		if last := s.asked[len(s.asked)-1]; code != program.ExitFine || last != tt.asked || !strings.Contains(out, tt.out) {
			t.Errorf("admin %s: exit %d, asked %q, want %q\n%s%s", tt.args, code, last, tt.asked, out, errs)
		}
		if strings.ContainsAny(out, "\x1b\u202e") {
			t.Errorf("admin %s: a name steers the terminal: %q", tt.args, out)
		}
		if strings.Contains(errs, "SECRET") || strings.Contains(out+errs, apiToken) {
			t.Errorf("admin %s: shows a secret where it should not\n%s%s", tt.args, out, errs)
		}
		out, errs, code = s.admin(s.URL+"/invite/SECRET", append(strings.Fields(tt.args), "--json")...)
		if !json.Valid([]byte(out)) || code != program.ExitFine || errs != "" {
			t.Errorf("admin %s --json: exit %d\n%s%s", tt.args, code, out, errs)
		}
	}
}

func TestAdminWritesSecretsToPrivateFiles(t *testing.T) {
	t.Setenv("NEXD_ADMIN_TOKEN", apiToken)
	s := newAdminService(t)
	for _, args := range [][]string{{"key", "create"}, {"token", "create"}, {"invitation", "create"}, {"key", "create", "--json"}} {
		file := filepath.Join(t.TempDir(), "secret")
		out, errs, code := s.admin("", append(args, "--out="+file)...)
		b, err := os.ReadFile(file)
		info, _ := os.Stat(file)
		if err != nil || code != program.ExitFine || !strings.HasSuffix(string(b), "SECRET\n") || info.Mode().Perm() != 0o600 || strings.Contains(out+errs, "SECRET") {
			t.Errorf("%q: exit %d, file %q %v, %v\n%s%s", args, code, b, info, err, out, errs)
		}
		n := len(s.asked)
		_, errs, code = s.admin("", append(args, "--org=o_1", "--out="+file)...)
		if args[0] == "token" {
			_, errs, code = s.admin("", append(args, "--out="+file)...)
		}
		if code == program.ExitFine || len(s.asked) != n {
			t.Errorf("%q on a file that is there: exit %d, %s; asked %q", args, code, errs, s.asked[n:])
		}
	}
	gone := filepath.Join(t.TempDir(), "secret")
	if _, _, code := s.admin("", "key", "create", "--org=nowhere", "--out="+gone); code != program.ExitFailed {
		t.Errorf("a key of no organization: exit %d", code)
	}
	if _, err := os.Stat(gone); err == nil {
		t.Error("a file without a secret was left behind")
	}
}

// A service from before --replace ignores the word: the key that it made must not be used.
func TestAdminKeyOfAServiceWithoutReplace(t *testing.T) {
	t.Setenv("NEXD_ADMIN_TOKEN", apiToken)
	s := newAdminService(t)
	s.answers["DELETE /v1/orgs/o_1/keys/k_2"] = `{"id":"k_2"}`
	out, errs, code := s.admin("", "key", "create", "--replace")
	if code != program.ExitFailed || strings.Contains(out+errs, "SECRET") || !strings.Contains(errs, "too old for --replace; key k_2") {
		t.Errorf("exit %d\n%s%s", code, out, errs)
	}
	want := []string{`POST /v1/orgs/o_1/keys {"replace":true}`, "DELETE /v1/orgs/o_1/keys/k_2"}
	if n := len(s.asked); n < 2 || !slices.Equal(s.asked[n-2:], want) {
		t.Errorf("asked %q", s.asked)
	}
	delete(s.answers, "DELETE /v1/orgs/o_1/keys/k_2")
	if _, errs, code = s.admin("", "key", "create", "--replace"); code != program.ExitFailed || !strings.Contains(errs, "revoke key k_2") {
		t.Errorf("not revoked: exit %d, %s", code, errs)
	}
	s.answers["POST /v1/orgs/o_1/keys"] = `{"id":"k_2","prefix":"nxk_wxyz","replace":true,"key":"nxk_SECRET"}`
	if out, errs, code = s.admin("", "key", "create", "--replace"); code != program.ExitFine || out != "nxk_SECRET\n" {
		t.Errorf("exit %d\n%s%s", code, out, errs)
	}
}

func TestAdminWrongUsageAndFailures(t *testing.T) {
	s := newAdminService(t)
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(apiToken+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	url := "--service-url=" + s.URL
	for _, tt := range []struct {
		env  map[string]string
		args []string
		code int
		want string
	}{
		{nil, []string{"org", url}, program.ExitUsage, "--token-file"},
		{nil, []string{"org", "--token-file=" + file}, program.ExitUsage, "--service-url"},
		{nil, []string{"org", "--service-url=mesh.example", "--token-file=" + file}, program.ExitUsage, "no scheme"},
		{nil, []string{"org", url, "--token-file=" + file}, program.ExitUsage, "--insecure-http"},
		{nil, []string{"org", url, "--insecure-http", "--token-file=" + file}, program.ExitFine, ""},
		{map[string]string{"NEXD_SERVICE_URL": s.URL, "NEXD_INSECURE_HTTP": "true", "NEXD_ADMIN_TOKEN_FILE": file}, []string{"org"}, program.ExitFine, ""},
		{map[string]string{"NEXD_ADMIN_TOKEN": "x", "NEXD_ADMIN_TOKEN_FILE": file}, []string{"org", url, "--insecure-http"}, program.ExitUsage, "cannot be used together"},
		{map[string]string{"NEXD_ADMIN_TOKEN": "x"}, []string{"org", url, "--insecure-http", "--token-file=" + file}, program.ExitFine, ""},
		{map[string]string{"NEXD_ADMIN_TOKEN": "hunter2"}, []string{"org", url, "--insecure-http"}, program.ExitUsage, "must look like nxt_"},
		{nil, []string{"org", url, "--insecure-http", "--token-file=/nonexistent/f"}, program.ExitFailed, "/nonexistent/f"},
		{nil, []string{"prefix", "release", "172.24.0.1/24", url, "--insecure-http", "--token-file=" + file}, program.ExitUsage, "did you mean"},
		{nil, []string{"key", "create", "--expires=soon", url, "--insecure-http", "--token-file=" + file}, program.ExitUsage, "30d"},
		{nil, []string{"key", "create", "--expires=99999999999999d", url, "--insecure-http", "--token-file=" + file}, program.ExitUsage, "30d"},
		{nil, []string{"key", "create", "--uses=-1", url, "--insecure-http", "--token-file=" + file}, program.ExitUsage, "negative"},
		{nil, []string{"member", "role", "bob", "emperor", url, "--token-file=" + file}, program.ExitUsage, "owner"},
		{nil, []string{"audit", "--limit=0", url, "--insecure-http", "--token-file=" + file}, program.ExitUsage, "--limit=0"},
		{nil, []string{"org", "--userspace", url, "--token-file=" + file}, program.ExitUsage, "is a flag of join"},
		{nil, []string{}, program.ExitUsage, "org"},
		{nil, []string{"node", "show", "nobody", url, "--insecure-http", "--token-file=" + file}, program.ExitFailed, "no such thing"},
		{nil, []string{"org", "--service-url=http://127.0.0.1:1", "--insecure-http", "--token-file=" + file}, program.ExitUnreachable, "refuses the connection"},
	} {
		t.Run(strings.Join(tt.args, " "), func(t *testing.T) {
			for k, v := range tt.env {
				t.Setenv(k, v)
			}
			var out, errs bytes.Buffer
			code := run(context.Background(), append([]string{"admin"}, tt.args...), program.Streams{In: strings.NewReader(""), Out: &out, Err: &errs})
			if code != tt.code || !strings.Contains(errs.String(), tt.want) || strings.Contains(errs.String(), "hunter2") {
				t.Errorf("exit %d, want %d; %q lacks %q", code, tt.code, &errs, tt.want)
			}
		})
	}
}

func TestAdminSaysWhatTheTokenLacks(t *testing.T) {
	t.Setenv("NEXD_ADMIN_TOKEN", apiToken)
	for reason, want := range map[string]string{control.ReasonToken: "create another token", control.ReasonRole: "nexd admin user"} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", control.TypeProblem)
			w.WriteHeader(http.StatusForbidden)
			fmt.Fprintf(w, `{"kind":"denied","reason":%q,"detail":"no"}`, reason)
		}))
		_, errs, code := (&adminService{Server: s}).admin("", "org")
		s.Close()
		if code != program.ExitFailed || !strings.Contains(errs, want) {
			t.Errorf("%s: exit %d, %s", reason, code, errs)
		}
	}
}

func TestEveryCommandCanRun(t *testing.T) {
	parser, err := newParser(&cli{std: program.Streams{Out: io.Discard, Err: io.Discard}})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, leaf := range parser.Model.Leaves(true) {
		if name := program.Path(leaf); strings.HasPrefix(name, "admin ") {
			names = append(names, name)
			if _, ok := leaf.Target.Addr().Interface().(program.Command[*admin.Client]); !ok {
				t.Errorf("%s has no action", name)
			}
		} else if _, ok := leaf.Target.Addr().Interface().(program.Command[*cli]); !ok {
			t.Errorf("%s has no action", name)
		}
	}
	if len(names) < 20 || !slices.Contains(names, "admin node approve") {
		t.Errorf("commands: %q", names)
	}
}
