package program

import (
	"fmt"
	"io"
	"os"
	"strings"
)

// maxKeyFile is the maximum size in bytes of a file with a key or another secret.
const maxKeyFile = 4096

// ReadSecret reads a file that contains one secret; "-" is standard input.
func ReadSecret(what, file string, in io.Reader) (string, error) {
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return "", fmt.Errorf("%s: %w", what, err)
		}
		defer f.Close()
		in = f
	}
	b, err := io.ReadAll(io.LimitReader(in, maxKeyFile+1))
	if err != nil {
		return "", fmt.Errorf("%s from %s: %w", what, file, err)
	}
	secret := strings.TrimSpace(string(b))
	if secret == "" || len(b) > maxKeyFile || strings.ContainsAny(secret, " \t\r\n") {
		return "", Usagef("%s file %s must contain exactly one %s", what, file, lastWord(what))
	}
	return secret, nil
}

func lastWord(s string) string { return s[strings.LastIndexByte(s, ' ')+1:] }
