package archtest

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// document is where the tables are, below the repository's root.
const document = "docs/architecture.md"

// plan is what docs/architecture.md says about the rooms.
type plan struct {
	rooms []room
	heavy []heavy
	table int // line of the floors table's head, for error texts
}

// room is a row of the floors table.
type room struct {
	folder string // without the trailing "/..."
	tree   bool   // the folders below belong to the room
	part   bool   // a part of the room in the nearest folder above
	floor  int
	line   int
}

// around is the floor of what stands outside of the building.
const around = 6

// heavy is a row of the table of heavy imports.
type heavy struct {
	path string
	only []string // folders; "/..." includes the folders below
	line int
}

var (
	floorCell = regexp.MustCompile(`^(?:F([0-5])( part)?|(around))$`)
	quoted    = regexp.MustCompile("`([^`]+)`")
)

// readPlan parses the two tables. Each problem names the line to edit.
func readPlan(text string) (p plan, problems []string) {
	complain := func(line int, format string, args ...any) {
		problems = append(problems, fmt.Sprintf("%s:%d: ", document, line)+fmt.Sprintf(format, args...))
	}
	table, seen := "", map[string]int{}
	for i, line := range strings.Split(text, "\n") {
		n, cells := i+1, cellsOf(line)
		switch {
		case cells == nil:
			table = ""
		case strings.HasPrefix(cells[0], "---"):
		case table == "" && len(cells) > 1 && cells[0] == "floor" && cells[1] == "room":
			table, p.table = "floors", n
		case table == "" && cells[0] == "heavy import":
			table = "heavy"
		case table == "":
			table = "another"
		case table == "floors":
			r, why := roomOf(cells, n)
			if why == "" && seen[r.folder] != 0 {
				why = fmt.Sprintf("%s has a row already, in line %d", r.folder, seen[r.folder])
			}
			if why != "" {
				complain(n, "%s", why)
				continue
			}
			seen[r.folder] = n
			p.rooms = append(p.rooms, r)
		case table == "heavy":
			path, only := words(cells[0]), []string(nil)
			if len(cells) > 1 {
				only = words(cells[1])
			}
			if len(path) != 1 || len(only) == 0 {
				complain(n, "want: | `import path` | `folder`, `folder/...` |")
				continue
			}
			p.heavy = append(p.heavy, heavy{path[0], only, n})
		}
	}
	if len(p.rooms) == 0 {
		complain(1, "no floors table: no row starts with | floor | room |")
	}
	if len(p.heavy) == 0 {
		complain(1, "no table of heavy imports: no row starts with | heavy import |")
	}
	for _, r := range p.rooms {
		switch parent, ok := p.parent(r); {
		case r.part && !ok:
			complain(r.line, "%s is a part, but no folder above it is a room", r.folder)
		case r.part && parent.floor != r.floor:
			complain(r.line, "%s is a part of %s and must stand on its floor, F%d", r.folder, parent.folder, parent.floor)
		}
	}
	return p, problems
}

// cellsOf splits a row of a Markdown table; nil is a line that is no row.
func cellsOf(line string) []string {
	line = strings.TrimSpace(line)
	if !strings.HasPrefix(line, "|") {
		return nil
	}
	cells := strings.Split(strings.Trim(line, "|"), "|")
	for i := range cells {
		cells[i] = strings.TrimSpace(cells[i])
	}
	return cells
}

func roomOf(cells []string, line int) (room, string) {
	floor, folder := floorCell.FindStringSubmatch(cells[0]), []string(nil)
	if len(cells) > 1 {
		folder = words(cells[1])
	}
	if floor == nil || len(folder) != 1 {
		return room{}, "want: | F0 to F5, \"F2 part\" or around | `folder` | what it does |"
	}
	r := room{line: line, part: floor[2] != "", floor: around}
	if floor[1] != "" {
		r.floor = int(floor[1][0] - '0')
	}
	r.folder, r.tree = strings.CutSuffix(folder[0], "/...")
	return r, ""
}

// words are the words of a cell that stand in backquotes.
func words(cell string) (found []string) {
	for _, m := range quoted.FindAllStringSubmatch(cell, -1) {
		found = append(found, m[1])
	}
	return found
}

// of finds the row that covers a folder: its own, or the nearest "/..." above it.
func (p plan) of(folder string) (room, bool) {
	for f := folder; f != "."; f = filepath.Dir(f) {
		for _, r := range p.rooms {
			if r.folder == f && (f == folder || r.tree) {
				return r, true
			}
		}
	}
	return room{}, false
}

// parent finds the room in the nearest folder above that is not a part itself.
func (p plan) parent(r room) (room, bool) {
	for f := filepath.Dir(r.folder); f != "."; f = filepath.Dir(f) {
		for _, up := range p.rooms {
			if up.folder == f && !up.part {
				return up, true
			}
		}
	}
	return room{}, false
}

// whole is the room that a row belongs to: a part's parent, else the row itself.
func (p plan) whole(r room) room {
	if r.part {
		if up, ok := p.parent(r); ok {
			return up
		}
	}
	return r
}

func (r room) String() string {
	switch {
	case r.floor == around:
		return "around"
	case r.part:
		return fmt.Sprintf("F%d part", r.floor)
	}
	return fmt.Sprintf("F%d", r.floor)
}

// imports says what is wrong with an import between two folders of ours.
func (p plan) imports(from, to string) string {
	f, ok := p.of(from)
	if !ok {
		return fmt.Sprintf("%s:%d: no row covers the folder %s: add | floor | `%s` | what it does |", document, p.table, from, from)
	}
	t, ok := p.of(to)
	if !ok {
		return "" // said where to's own imports are looked at
	}
	switch {
	case p.whole(f).folder == p.whole(t).folder:
		return ""
	case t.part:
		return fmt.Sprintf("%s imports %s, which is a part of %s (%s:%d): import %s, or make the part a room",
			from, to, p.whole(t).folder, document, t.line, p.whole(t).folder)
	case f.floor == 0 && t.floor == 0, t.floor < f.floor:
		return ""
	case t.floor == f.floor:
		return fmt.Sprintf("%s (%s, %s:%d) imports %s (%s, line %d): rooms on one floor do not see each other; pass a func or a small interface, or move a room to another floor",
			from, f, document, f.line, to, t, t.line)
	}
	return fmt.Sprintf("%s (%s, %s:%d) imports %s (%s, line %d) from a floor above", from, f, document, f.line, to, t, t.line)
}

// importsHeavy says what is wrong with an import that is not ours.
func (p plan) importsHeavy(from, path string) string {
	var rule heavy
	for _, h := range p.heavy {
		if (path == h.path || strings.HasPrefix(path, h.path+"/")) && len(h.path) > len(rule.path) {
			rule = h
		}
	}
	if rule.path == "" {
		return ""
	}
	for _, folder := range rule.only {
		base, tree := strings.CutSuffix(folder, "/...")
		if from == base || tree && strings.HasPrefix(from, base+"/") {
			return ""
		}
	}
	return fmt.Sprintf("%s imports %s, which belongs to %s (%s:%d)", from, path, strings.Join(rule.only, ", "), document, rule.line)
}

// missing says which rows and which paths in the document's text name a folder or
// a file that does not exist.
func missing(p plan, text string, exists func(string) bool) (problems []string) {
	for _, r := range p.rooms {
		if !exists(r.folder) {
			problems = append(problems, fmt.Sprintf("%s:%d: the folder %s does not exist: correct or remove its row", document, r.line, r.folder))
		}
	}
	for i, line := range strings.Split(text, "\n") {
		for _, w := range words(line) {
			w, _ = strings.CutSuffix(w, "/...")
			top, _, below := strings.Cut(w, "/")
			if below && !strings.ContainsAny(w, " *:") && exists(top) && !exists(w) {
				problems = append(problems, fmt.Sprintf("%s:%d: `%s` does not exist", document, i+1, w))
			}
		}
	}
	return problems
}

// thePlan reads the document and reports what is wrong with its tables.
func thePlan(t *testing.T) (plan, string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, document))
	if err != nil {
		t.Fatal(err)
	}
	p, problems := readPlan(string(text))
	for _, problem := range problems {
		t.Error(problem)
	}
	return p, string(text)
}
