package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nexd/internal/program"
	"nexd/service/store"
)

func TestFirstRunShowsASetUpLink(t *testing.T) {
	db := filepath.Join(t.TempDir(), "sub", "n.db")
	text, stop := serve(t, "--db="+db, "--public-url=https://mesh.example")
	ready, setup, ok := strings.Cut(text, "\n")
	if !ok || !strings.HasPrefix(ready, "ready https://mesh.example/#pin=") && !strings.HasPrefix(ready, "ready https://mesh.example#pin=") || !strings.HasPrefix(setup, "setup https://mesh.example/setup?token=nxu_") {
		t.Fatalf("serve printed\n%s", text)
	}
	stop()
	again, stop := serve(t, "--db="+db)
	if _, other, _ := strings.Cut(again, "\n"); other == setup || !strings.HasPrefix(other, "setup https://mesh.example/setup?token=") {
		t.Errorf("a restart shows %q after %q", other, setup)
	}
	if pin := strings.Fields(ready)[2]; strings.Fields(again)[2] != pin {
		t.Error("a restart changed the pin")
	}
	r := nexservice(t, "correct horse\n", "user", "create", "ada@example.com", "--password-file=-", "--db="+db)
	if r.code != program.ExitFine || !strings.Contains(r.out, "owner of default") {
		t.Errorf("user create: %+v", r)
	}
	stop()
	text, stop = serve(t, "--db="+db)
	if strings.Contains(text, "setup") {
		t.Errorf("with people there, serve shows %q", text)
	}
	stop()
}

func TestUsers(t *testing.T) {
	db, _ := bootstrapped(t)
	create := func(args ...string) result {
		return nexservice(t, "correct horse\n", append([]string{"user", "create", "--db=" + db, "--password-file=-"}, args...)...)
	}
	if r := create("bob@example.com", "--org=default", "--role=auditor", "--name=Bob"); r.code != program.ExitFine || !strings.Contains(r.out, "auditor of default") {
		t.Errorf("create: %+v", r)
	}
	if r := create("carol@example.com", "--json"); r.code != program.ExitFine || !strings.Contains(r.out, `"carol": "owner"`) {
		t.Errorf("create --json: %+v", r)
	}
	for _, tt := range []struct {
		args []string
		code int
	}{
		{[]string{"bob@example.com"}, program.ExitFailed}, {[]string{"nobody"}, program.ExitFailed}, {[]string{"dan@example.com", "--org=nowhere"}, program.ExitFailed},
		{[]string{"dan@example.com", "--role=god"}, program.ExitUsage}, {nil, program.ExitUsage},
	} {
		if r := create(tt.args...); r.code != tt.code {
			t.Errorf("create %v: %+v", tt.args, r)
		}
	}
	var users []userJSON
	if err := json.Unmarshal([]byte(must(t, "user", "list", "--json", "--db="+db)), &users); err != nil || len(users) != 3 || users[1].Organizations["default"] != "auditor" {
		t.Errorf("user list = %+v, %v", users, err)
	}
	if out := must(t, "user", "list", "--db="+db); strings.Contains(out, "argon2id") || !strings.Contains(out, "auditor of default") {
		t.Errorf("user list:\n%s", out)
	}
	if r := nexservice(t, "another horse", "user", "set-password", "bob@example.com", "--password-file=-", "--db="+db); r.code != program.ExitFine {
		t.Errorf("set-password: %+v", r)
	}
	if r := nexservice(t, "another horse", "user", "set-password", "eve@example.com", "--password-file=-", "--db="+db); r.code != program.ExitFailed {
		t.Errorf("set-password of nobody: %+v", r)
	}
	if r := nexservice(t, "", "user", "remove", "ada@example.com", "--db="+db); r.code != program.ExitFailed || !strings.Contains(r.err, "last owner of organization default") {
		t.Errorf("removing the last owner: %+v", r)
	}
	if out := must(t, "user", "remove", "carol@example.com", "--db="+db); !strings.Contains(out, "owner of carol") || !strings.Contains(out, "Organization carol has no members left") {
		t.Errorf("user remove: %s", out)
	}
	if r := nexservice(t, "", "user", "remove", "carol@example.com", "--db="+db); r.code != program.ExitFailed || !strings.Contains(r.err, "no user carol@example.com") {
		t.Errorf("removing nobody: %+v", r)
	}
	file := filepath.Join(t.TempDir(), "token")
	if out := must(t, "user", "token", "bob@example.com", "--scope=write", "--token-out="+file, "--db="+db); strings.Contains(out, strings.TrimSpace(readFile(t, file))) {
		t.Errorf("user token shows what is in the file: %s", out)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 || !strings.HasPrefix(readFile(t, file), "nxt_") {
		t.Errorf("the token file: %v, %v", info, err)
	}
	if r := nexservice(t, "", "user", "token", "bob@example.com", "--db="+db); r.code != program.ExitFine || !strings.HasPrefix(r.out, "nxt_") || strings.Count(r.out, "\n") != 1 {
		t.Errorf("user token: %+v", r)
	}
	audit := must(t, "audit", "--db="+db)
	if !strings.Contains(audit, "nexservice command") || !strings.Contains(audit, "member.add") || strings.Contains(audit, strings.TrimSpace(readFile(t, file))) {
		t.Errorf("audit:\n%s", audit)
	}
	if people := must(t, "audit", "--people", "--db="+db); !strings.Contains(people, "user.create") || strings.Contains(people, "member.add") {
		t.Errorf("audit of people:\n%s", people)
	}
	st, err := store.Open(t.Context(), db, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	es, err := st.Audit(t.Context(), "", "", 100) // about people
	var words []string
	for _, e := range es {
		words = append(words, e.Action)
		if e.Actor.Via != "command" {
			t.Errorf("%s was done by %+v", e.Action, e.Actor)
		}
	}
	if all := strings.Join(words, " "); err != nil || !strings.Contains(all, "user.password") || !strings.Contains(all, "token.create") || !strings.Contains(all, "user.create") {
		t.Errorf("audit of people: %s, %v", all, err)
	}
}

func TestOIDCFlags(t *testing.T) {
	for _, args := range [][]string{{"--oidc-issuer=https://idp.example"}, {"--oidc-client-id=x"}, {"--oidc-sign-up"}, {"--oidc-client-secret-file=x"}} {
		if r := nexservice(t, "", append([]string{"serve", "--db=x"}, args...)...); r.code != program.ExitUsage {
			t.Errorf("serve %v: %+v", args, r)
		}
	}
}
