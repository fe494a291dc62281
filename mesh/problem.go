package mesh

import (
	"fmt"
	"strings"
	"time"
)

// Problem is something that does not work now: a line that status shows under health. A part that can
// fail while the process lives returns its problems; the node collects them in one place.
type Problem struct {
	Code   string    `json:"code"`              // what kind it is, the same in every version; see docs/networks.md
	What   string    `json:"what"`              // does not work
	Since  time.Time `json:"since,omitzero"`    // zero: the node that collects it notes when it saw it first
	Why    string    `json:"why,omitempty"`     // as far as it is known
	WayOut string    `json:"way_out,omitempty"` // what a person can do about it
}

// String is the problem without its time, so that the text changes only when the problem does.
func (p Problem) String() string { return p.line("") }

// At is the problem as status shows it at a moment.
func (p Problem) At(now time.Time) string {
	if p.Since.IsZero() {
		return p.line("")
	}
	return p.line(fmt.Sprintf(" since %s (%v)", p.Since.Local().Format(since(p.Since, now)), max(now.Sub(p.Since), 0).Round(time.Second)))
}

// since is the form of a time: with the date if it is long ago.
func since(t, now time.Time) string {
	if now.Sub(t) < 20*time.Hour {
		return time.TimeOnly
	}
	return time.DateTime
}

func (p Problem) line(since string) string {
	var b strings.Builder
	b.WriteString(p.What)
	b.WriteString(since)
	if p.Why != "" {
		b.WriteString(": " + p.Why)
	}
	if p.WayOut != "" {
		b.WriteString("; " + p.WayOut)
	}
	return b.String()
}
