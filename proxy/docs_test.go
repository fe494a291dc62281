package proxy

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"nexd/mesh"
)

// TestRepliesAreDocumented compares the table in docs/applications.md with the replies
// that clients receive.
func TestRepliesAreDocumented(t *testing.T) {
	page, err := os.ReadFile("../docs/applications.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		row  string
		errs []error
	}{
		{"not allowed: outside the mesh, refused by the target's router", []error{mesh.Errorf(mesh.Denied, "x"), syscall.EACCES, syscall.EPERM}},
		{"no route to the network", []error{syscall.ENETUNREACH}},
		{"host unreachable, name unknown", []error{syscall.EHOSTUNREACH, syscall.EHOSTDOWN, mesh.Errorf(mesh.NotFound, "x")}},
		{"connection refused", []error{syscall.ECONNREFUSED}},
		{"timeout", []error{syscall.ETIMEDOUT, context.DeadlineExceeded, os.ErrDeadlineExceeded}},
		{"malformed request", []error{mesh.Errorf(mesh.Invalid, "x")}},
		{"not joined yet, or a resource is exhausted", []error{mesh.Errorf(mesh.Unavailable, "x"), mesh.Errorf(mesh.Exhausted, "x")}},
		{"anything else", []error{errors.New("x"), mesh.Errorf(mesh.Internal, "x")}},
	} {
		for _, err := range tt.errs {
			v := replyFor(err)
			if row := fmt.Sprintf("| %s | %d | %d | %d |\n", tt.row, v.code, socks4Rejected, v.status); !strings.Contains(string(page), row) {
				t.Errorf("%v: docs/applications.md has no row %q", err, row)
			}
		}
	}
	for _, row := range []string{
		fmt.Sprintf("| unknown command | %d | %d | – |\n", replyBadCommand, socks4Rejected),
		fmt.Sprintf("| unknown address type | %d | – | – |\n", replyBadAddressType),
	} {
		if !strings.Contains(string(page), row) {
			t.Errorf("docs/applications.md has no row %q", row)
		}
	}
}
