package e2e

import (
	"net/http"
	"net/http/cgi"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// gitClients clone from and push to a repository in c1, over HTTP and git://.
func gitClients(t *testing.T, w *world, laptop *node) []stockClient {
	t.Helper()
	home := w.ownDir("git")
	repo, first := filepath.Join(home, "r.git"), filepath.Join(home, "first")
	git := []string{"env", "HOME=" + home, "GIT_CONFIG_NOSYSTEM=1", "git", "-c", "user.name=Ada", "-c", "user.email=ada@example.org"}
	do := func(args ...string) { w.must("", testLimit, append(git, args...)...) }
	do("init", "-q", "--bare", "-b", "main", repo)
	do("-C", repo, "config", "http.receivepack", "true")
	do("clone", "-q", repo, first)
	writePattern(t, filepath.Join(first, "file"), 3<<20)
	do("-C", first, "add", "file")
	do("-C", first, "commit", "-q", "-m", "a file")
	do("-C", first, "push", "-q", "origin", "HEAD:main")
	w.start("c1", "git http", []string{"NEXD_E2E_HELPER=1", "HOME=" + home}, bin("helper"), "git-http", home)
	w.start("c1", "git daemon", nil, "env", "HOME="+home, "git", "daemon", "--export-all", "--base-path="+home)
	w.listens("c1", "8081")
	w.listens("c1", "9418")
	nc := w.asProgram("git", "nc", "exec "+bin("nexd")+" nc --state-dir="+laptop.state+` "$1" "$2"`)
	cloned := func(name, url string, more ...string) stockClient {
		to := filepath.Join(home, strings.ReplaceAll(name, " ", "-"))
		args := append(append(append([]string{"sh", "-c", `"$@" && sha256sum "$0/file"`, to}, git...), more...), "clone", "-q", url, to)
		return stockClient{name, patternSum(3 << 20), args}
	}
	push := append(append([]string{"sh", "-c", `"$@" 2>&1`, "sh"}, git...), "-c", "http.proxy=http://"+laptop.proxy,
		"-C", first, "push", "http://172.24.0.10:8081/r.git", "HEAD:by-http")
	return []stockClient{
		cloned("git clone http SOCKS5", "http://172.24.0.10:8081/r.git", "-c", "http.proxy="+laptop.socks5h()),
		cloned("git clone http HTTP", "http://172.24.0.10:8081/r.git", "-c", "http.proxy=http://"+laptop.proxy),
		{"git push http HTTP", "by-http", push},
		{"git ls-remote git proxychains4", "refs/heads/main", append(append(proxychains(w, laptop), git...), "ls-remote", "git://172.24.0.10/r.git")},
		cloned("git clone git nexd nc", "git://172.24.0.10/r.git", "-c", "core.gitProxy="+nc),
	}
}

// serveGit is git's own server program behind a web server.
func serveGit(root string) error {
	out, err := exec.Command("git", "--exec-path").Output()
	if err != nil {
		return err
	}
	return http.ListenAndServe(":8081", &cgi.Handler{
		Path:       filepath.Join(strings.TrimSpace(string(out)), "git-http-backend"),
		Env:        []string{"GIT_PROJECT_ROOT=" + root, "GIT_HTTP_EXPORT_ALL=1", "REMOTE_USER=somebody"},
		InheritEnv: []string{"HOME"},
	})
}
