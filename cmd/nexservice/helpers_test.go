package main

import (
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"nexd/service"
)

func prefixes(t *testing.T, texts ...string) (out []netip.Prefix) {
	t.Helper()
	for _, s := range texts {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

// ownCertificate writes a certificate and its key to files.
func ownCertificate(t *testing.T) (cert, key string) {
	t.Helper()
	certPEM, keyPEM, err := service.NewTLSKey(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for path, b := range map[string][]byte{cert: certPEM, key: keyPEM} {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}
