package control_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"nexd/control"
	"nexd/mesh"
)

var apiToken = "nxt_" + strings.Repeat("t", 32)

func adminOf(t *testing.T, raw string) *control.Admin {
	t.Helper()
	u, err := control.ParseJoinURL(raw)
	if err != nil {
		t.Fatal(err)
	}
	a, err := control.NewAdmin(control.Config{URL: u, Insecure: true, Proxy: noProxy}, apiToken)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.Close)
	return a
}

func TestAdminCalls(t *testing.T) {
	var got string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got = strings.TrimSpace(r.Method + " " + r.URL.EscapedPath() + " " + r.URL.RawQuery + " " + string(body))
		if r.Header.Get("Authorization") != "Bearer "+apiToken {
			got = "no token"
		}
		w.Header().Set("Content-Type", control.TypeJSON)
		fmt.Fprint(w, `{"link":"/invite/abc"}`)
	}))
	defer s.Close()
	a := adminOf(t, s.URL)
	ctx := t.Context()
	for _, tt := range []struct {
		call func() error
		want string
	}{
		{func() error { _, err := a.Me(ctx); return err }, "GET /v1/users/me"},
		{func() error { _, err := a.SetDefaultOrganization(ctx, "o"); return err }, `PUT /v1/users/me/default-organization  {"organization":"o"}`},
		{func() error { _, err := a.Organizations(ctx); return err }, "GET /v1/orgs"},
		{func() error { _, err := a.CreateOrganization(ctx, "o"); return err }, `POST /v1/orgs  {"name":"o"}`},
		{func() error { _, err := a.Organization(ctx, "o"); return err }, "GET /v1/orgs/o"},
		{func() error { _, err := a.Nodes(ctx, "o"); return err }, "GET /v1/orgs/o/nodes"},
		{func() error { _, err := a.Node(ctx, "o", "n"); return err }, "GET /v1/orgs/o/nodes/n"},
		{func() error { _, err := a.RemoveNode(ctx, "o", "../keys"); return err }, "DELETE /v1/orgs/o/nodes/..%2Fkeys"},
		{func() error { _, err := a.Prefixes(ctx, "o"); return err }, "GET /v1/orgs/o/prefixes"},
		{func() error { _, err := a.Keys(ctx, "o"); return err }, "GET /v1/orgs/o/keys"},
		{func() error { _, err := a.CreateKey(ctx, "o", control.NewKey{Uses: 1}); return err }, `POST /v1/orgs/o/keys  {"uses":1}`},
		{func() error { _, err := a.RevokeKey(ctx, "o", "k"); return err }, "DELETE /v1/orgs/o/keys/k"},
		{func() error { _, err := a.Members(ctx, "o"); return err }, "GET /v1/orgs/o/members"},
		{func() error { _, err := a.SetRole(ctx, "o", "a@b", "admin"); return err }, `PUT /v1/orgs/o/members/a@b  {"role":"admin"}`},
		{func() error { _, err := a.RemoveMember(ctx, "o", "u"); return err }, "DELETE /v1/orgs/o/members/u"},
		{func() error { _, err := a.Invitations(ctx, "o"); return err }, "GET /v1/orgs/o/invitations"},
		{func() error { _, err := a.RevokeInvitation(ctx, "o", "i"); return err }, "DELETE /v1/orgs/o/invitations/i"},
		{func() error { _, err := a.AcceptInvitation(ctx, "x"); return err }, `POST /v1/invitations/accept  {"token":"x"}`},
		{func() error { _, err := a.OwnAudit(ctx, "", 5); return err }, "GET /v1/users/me/audit limit=5"},
		{func() error { _, err := a.Audit(ctx, "o", "17", 5); return err }, "GET /v1/orgs/o/audit before=17&limit=5"},
		{func() error { _, err := a.Tokens(ctx); return err }, "GET /v1/tokens"},
		{func() error { _, err := a.CreateToken(ctx, control.NewToken{Scopes: []string{"read"}}); return err }, `POST /v1/tokens  {"scopes":["read"]}`},
		{func() error { _, err := a.RevokeToken(ctx, "i"); return err }, "DELETE /v1/tokens/i"},
		{func() error { _, err := a.Pending(ctx, "WDJB-MJHT"); return err }, "GET /v1/approvals/WDJB-MJHT"},
		{func() error { _, err := a.Approve(ctx, "c", "o"); return err }, `POST /v1/approvals/c/approve  {"organization":"o"}`},
		{func() error { _, err := a.Deny(ctx, "c"); return err }, "POST /v1/approvals/c/deny"},
		{func() error {
			_, err := a.ReleasePrefix(ctx, "o", netip.MustParsePrefix("172.24.0.0/24"))
			return err
		}, "DELETE /v1/orgs/o/prefixes prefix=172.24.0.0%2F24"},
		{func() error {
			i, err := a.Invite(ctx, "o", control.NewInvitation{Role: "member"})
			if i.Link != s.URL+"/invite/abc" {
				t.Errorf("link %q", i.Link)
			}
			return err
		}, `POST /v1/orgs/o/invitations  {"role":"member"}`},
	} {
		if err := tt.call(); err != nil || got != tt.want {
			t.Errorf("%q, %v; want %q", got, err, tt.want)
		}
	}
	for _, name := range []string{"", ".", ".."} {
		got = ""
		if _, err := a.RemoveNode(ctx, "o", name); mesh.KindOf(err) != mesh.Invalid || got != "" {
			t.Errorf("node %q: %v, asked %q", name, err, got)
		}
	}
}

func TestAdminTokenIsNeverShown(t *testing.T) {
	u, _ := control.ParseJoinURL("https://mesh.example")
	for _, bad := range []string{"", "nxt_short", "nxk_" + strings.Repeat("t", 32), apiToken + "\n", "hunter2hunter2hunter2hunter2"} {
		_, err := control.NewAdmin(control.Config{URL: u}, bad)
		if mesh.KindOf(err) != mesh.Invalid || len(bad) > 4 && strings.Contains(err.Error(), bad[4:]) {
			t.Errorf("NewAdmin(%q) = %v", bad, err)
		}
	}
	s := httptest.NewServer(answer(401, control.TypeProblem, `{"kind":"denied","reason":"token","detail":"people: unknown token"}`))
	defer s.Close()
	_, err := adminOf(t, s.URL).Me(context.Background())
	if control.ReasonOf(err) != control.ReasonToken || strings.Contains(err.Error(), apiToken) {
		t.Errorf("refused token: %v", err)
	}
}
