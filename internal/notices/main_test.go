package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestEveryLinkedModuleIsInTheNotices(t *testing.T) {
	t.Chdir("../..")
	have, err := os.ReadFile("THIRD_PARTY_NOTICES")
	if err != nil {
		t.Fatal(err)
	}
	mods, err := linked([]string{"linux", "darwin", "windows"})
	if err != nil {
		t.Fatal(err)
	}
	if len(mods) < 5 {
		t.Fatalf("only %d modules found", len(mods))
	}
	for _, m := range mods {
		if !strings.Contains(string(have), "\n"+m.path+" "+m.version+"\n") {
			t.Errorf("%s %s is not in THIRD_PARTY_NOTICES; run make notices", m.path, m.version)
		}
	}
}

func TestAModuleWithoutALicenceIsAnError(t *testing.T) {
	dir := t.TempDir()
	if _, err := licences(dir); err == nil {
		t.Error("no licence file is no error")
	}
	if err := os.WriteFile(filepath.Join(dir, "LICENSE.md"), []byte(" MIT \n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := licences(dir); err != nil || len(got) != 1 || got[0] != "MIT" {
		t.Errorf("licences = %q, %v", got, err)
	}
}
