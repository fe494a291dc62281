package people

import (
	"strings"
	"testing"

	"nexd/mesh"
)

func TestPasswordHash(t *testing.T) {
	hash, err := HashPassword("correct horse")
	if err != nil || !strings.HasPrefix(hash, "$argon2id$v=19$m=65536,t=3,p=4$") {
		t.Fatalf("HashPassword = %q, %v", hash, err)
	}
	if !CheckPassword(hash, "correct horse") || CheckPassword(hash, "correct horsf") || CheckPassword(hash, "") {
		t.Error("CheckPassword takes the wrong one")
	}
	if again, _ := HashPassword("correct horse"); again == hash {
		t.Error("two hashes of one password are the same")
	}
	for _, p := range []string{"", "short", strings.Repeat("x", 2000)} {
		if _, err := HashPassword(p); mesh.KindOf(err) != mesh.Invalid {
			t.Errorf("password of %d characters: %v", len(p), err)
		}
	}
	for _, bad := range []string{"", "x", "$argon2id$", "$argon2id$v=19$m=99999999999,t=3,p=4$YWFhYWFhYWE$YWFh", "$argon2id$v=19$m=65536,t=0,p=4$YWFhYWFhYWE$YWFhYWFhYWFhYWFhYWFhYQ",
		strings.Replace(hash, "v=19", "v=18", 1), hash[:len(hash)-30], "$2b$12$xyz"} {
		if CheckPassword(bad, "correct horse") {
			t.Errorf("CheckPassword(%q) is true", bad)
		}
	}
}

func FuzzCheckPassword(f *testing.F) {
	f.Add("$argon2id$v=19$m=8,t=1,p=1$YWFhYWFhYWE$YWFhYWFhYWFhYWFhYWFhYQ")
	f.Fuzz(func(t *testing.T, hash string) {
		if strings.Contains(hash, "m=") && !strings.Contains(hash, "m=8,") {
			return // costs memory, not insight
		}
		CheckPassword(hash, "")
	})
}
