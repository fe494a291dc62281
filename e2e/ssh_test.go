package e2e

import (
	"fmt"
	"path/filepath"
	"testing"
)

// sshClients are ssh and programs over ssh, to Debian's sshd in c1, with nexd nc as the
// ProxyCommand.
func sshClients(t *testing.T, w *world, laptop *node) []stockClient {
	t.Helper()
	if inUserNamespace() {
		missing(t, "sshd needs the real root")
	}
	dir := w.ownDir("ssh")
	host, key := filepath.Join(dir, "host"), filepath.Join(dir, "key")
	for _, file := range []string{host, key} {
		w.must("", testLimit, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", file)
	}
	public := w.must("", testLimit, "cat", host+".pub")
	known := w.asFile("ssh", "known", "172.24.0.10 "+public)
	conf := w.asFile("ssh", "sshd_config", fmt.Sprintf(`Port 22
HostKey %s
AuthorizedKeysFile %s
PermitRootLogin prohibit-password
PasswordAuthentication no
StrictModes no
UsePAM no
PidFile none
Subsystem sftp internal-sftp
`, host, key+".pub"))
	// sshd accepts only host keys that its own user owns. It has its own /run, so the
	// machine's does not change.
	w.sh("chown", "root:root", host)
	w.startAsRoot("c1", "sshd", "sh", "-c", "mount -t tmpfs tmpfs /run && mkdir /run/sshd && exec /usr/sbin/sshd -D -e -f "+conf)
	w.listens("c1", "22")
	nc := "-oProxyCommand=" + bin("nexd") + " nc --state-dir=" + laptop.state + " %h %p"
	options := []string{"-F", "none", "-i", key, "-oUserKnownHostsFile=" + known, "-oBatchMode=yes", "-oLogLevel=ERROR", nc}
	ssh := append(append([]string{"ssh"}, options...), "root@172.24.0.10")
	const size = 8 << 20
	through := `helper=$1; shift; NEXD_E2E_HELPER=1 "$helper" pattern ` + itoa(size) + ` | "$@" sha256sum`
	copied := filepath.Join(dir, "copied")
	scp := append(append([]string{"sh", "-c", `"$@" && cat "$0"`, copied, "scp", "-q"}, options...), "root@172.24.0.10:"+conf, copied)
	return []stockClient{
		{"ssh over nexd nc", patternSum(size), append([]string{"sh", "-c", through, "sh", bin("helper")}, ssh...)},
		{"ssh's exit code over nexd nc", "code 7", append([]string{"sh", "-c", `"$@"; echo code $?`, "sh"}, append(ssh, "exit 7")...)},
		{"scp over nexd nc", "Subsystem sftp", scp},
	}
}
