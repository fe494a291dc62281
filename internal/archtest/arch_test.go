package archtest

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const module = "nexd/"

// floors says on which floor a room stands. The longest match wins. A room
// imports only from lower floors; rooms of one floor never see each other.
var floors = map[string]int{
	"mesh": 0, "internal": 0,
	"ipam": 1, "control": 1, "relay": 1, "proxy": 1, "netstack": 1,
	"tunnel/filter": 1, "tunnel/pace": 1, "tunnel/paths": 1, "tunnel/disco": 1, "tunnel/tundev": 1, "tunnel/gateway": 1,
	"forward": 2, "forward/router": 2, "tunnel": 2, "tunnel/underlay": 2,
	"service/store": 2, "service/relayserver": 2, "service/stun": 2, "netcheck": 2,
	"service/people": 3, "agent/localapi": 3,
	"service": 4, "service/web": 4, "agent": 4,
	"cmd":        5,
	"bench/load": 5,
	"bench":      6, "e2e": 6, "examples": 6,
}

// only says which rooms may import a heavy package (and what lies below it). A
// room named here covers only itself, unless it ends in "/...".
var only = map[string][]string{
	"gvisor.dev/gvisor":                       {"netstack"},
	"golang.zx2c4.com/wireguard/device":       {"tunnel", "bench/...", "e2e/..."},
	"golang.zx2c4.com/wireguard/conn":         {"tunnel", "tunnel/underlay", "bench/...", "e2e/..."},
	"golang.zx2c4.com/wireguard/tun":          {"tunnel", "tunnel/filter", "tunnel/pace", "tunnel/tundev", "netstack", "bench/...", "e2e/..."},
	"golang.zx2c4.com/wireguard/tun/netstack": {"bench/...", "e2e/..."},
	"github.com/google/nftables":              {"tunnel/gateway"},
	"github.com/coreos/go-iptables":           {"tunnel/gateway"},
	"github.com/vishvananda/netlink":          {"tunnel/tundev", "tunnel/gateway"},
	"database/sql":                            {"service/store", "service/store/storetest"},
	"github.com/alecthomas/kong":              {"cmd/..."},
	"github.com/armon/go-socks5":              {"proxy"},
	"github.com/danielgtaylor/huma":           {"service"},
	"github.com/coreos/go-oidc":               {"service/web"},
	"github.com/coder/websocket":              {"relay", "service/relayserver"},
	"github.com/prometheus":                   {"cmd/nexservice"},
}

// sameRoom are packages that stand on their parent's floor and may be imported
// as parts of it.
var sameRoom = map[string]string{
	"service/store/migrations": "service/store",
	"service/store/storetest":  "service/store",
}

type pkg struct {
	ImportPath, Dir, Doc      string
	GoFiles                   []string
	Imports                   []string
	TestImports, XTestImports []string
	TestGoFiles, XTestGoFiles []string
}

func list(t *testing.T) []pkg {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("go", "list", "-e", "-json", "./...")
	cmd.Dir = root
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var pkgs []pkg
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		pkgs = append(pkgs, p)
	}
	if len(pkgs) < 3 {
		t.Fatalf("go list found only %d packages", len(pkgs))
	}
	return pkgs
}

func room(path string) string { return strings.TrimPrefix(path, module) }

func floor(room string) (int, bool) {
	for r := room; r != "."; r = filepath.Dir(r) {
		if f, ok := floors[r]; ok {
			return f, true
		}
	}
	return 0, false
}

func TestPackagesImportOnlyLowerFloors(t *testing.T) {
	for _, p := range list(t) {
		from := room(p.ImportPath)
		mine, ok := floor(from)
		if !ok {
			t.Errorf("%s stands on no floor; give it one in archtest and docs/architecture.md", from)
			continue
		}
		for _, imp := range p.Imports {
			to, ours := strings.CutPrefix(imp, module)
			if !ours || sameRoom[to] == from || sameRoom[from] == to {
				continue
			}
			theirs, _ := floor(to)
			if inside := mine == 0 && theirs == 0; !inside && theirs >= mine && !(mine == 5 && strings.HasPrefix(to, from+"/")) {
				t.Errorf("%s (floor %d) imports %s (floor %d)", from, mine, to, theirs)
			}
		}
	}
}

func TestHeavyImportsStayInTheirRoom(t *testing.T) {
	for _, p := range list(t) {
		from := room(p.ImportPath)
		for _, imp := range p.Imports {
			if rooms, ok := owner(imp); ok && !covered(from, rooms) {
				t.Errorf("%s imports %s, which belongs to %v", from, imp, rooms)
			}
		}
	}
}

// owner finds the most specific rule for an import.
func owner(imp string) (rooms []string, ok bool) {
	best := ""
	for prefix, r := range only {
		if (imp == prefix || strings.HasPrefix(imp, prefix+"/")) && len(prefix) > len(best) {
			best, rooms, ok = prefix, r, true
		}
	}
	return rooms, ok
}

func covered(from string, rooms []string) bool {
	for _, r := range rooms {
		base, tree := strings.CutSuffix(r, "/...")
		if from == base || tree && strings.HasPrefix(from, base+"/") {
			return true
		}
	}
	return false
}

func TestEveryPackageIsDocumentedAndTested(t *testing.T) {
	for _, p := range list(t) {
		r := room(p.ImportPath)
		if len(p.GoFiles) > 0 && p.Doc == "" {
			t.Errorf("%s has no package comment", r)
		}
		if len(p.TestGoFiles)+len(p.XTestGoFiles) == 0 && sameRoom[r] == "" {
			t.Errorf("%s has no test", r)
		}
	}
}

func TestMeshIsALeaf(t *testing.T) {
	for _, p := range list(t) {
		if room(p.ImportPath) != "mesh" {
			continue
		}
		for _, imp := range p.Imports {
			if strings.Contains(imp, ".") || strings.HasPrefix(imp, module) {
				t.Errorf("mesh imports %s; it may use the standard library only", imp)
			}
		}
	}
}
