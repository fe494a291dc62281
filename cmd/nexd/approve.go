package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/mattn/go-isatty"
	"rsc.io/qr"

	"nexd/node"
)

// printApproval tells a person how to let this node in. It goes to standard
// error: standard output is for scripts and holds nothing but the ready line. The
// QR code is for a terminal alone; a log file has no use for it.
func printApproval(w io.Writer, a node.Approval, terminal bool) {
	var b strings.Builder
	fmt.Fprintf(&b, "\nTo let this node join, open this link and sign in:\n\n    %s\n\n", a.Link)
	fmt.Fprintf(&b, "The page must show the code  %s\nand the key fingerprint      %s\n", a.Code, a.Fingerprint)
	fmt.Fprintf(&b, "Waiting until %s; Ctrl-C gives up.\n\n", a.Expires.Local().Format("15:04:05"))
	if terminal {
		b.WriteString(qrCode(a.Link))
	}
	io.WriteString(w, b.String()) // in one piece, so that no log line comes between
}

// qrCode draws text in half blocks, two modules a character, with its own
// colours: a scanner wants dark on light, whatever the terminal's are. Empty if
// text does not fit.
func qrCode(text string) string {
	code, err := qr.Encode(text, qr.L)
	if err != nil || code.Size > 80 {
		return ""
	}
	const quiet = 4 // modules of margin, as the standard wants
	light := func(x, y int) bool { return !code.Black(x, y) }
	var b strings.Builder
	for y := -quiet; y < code.Size+quiet; y += 2 {
		b.WriteString("\x1b[97;40m")
		for x := -quiet; x < code.Size+quiet; x++ {
			b.WriteString(halfBlock[[2]bool{light(x, y), light(x, y+1)}])
		}
		b.WriteString("\x1b[0m\n")
	}
	b.WriteByte('\n')
	return b.String()
}

// halfBlock is the character whose upper and lower half are light or not.
var halfBlock = map[[2]bool]string{
	{false, false}: " ", {true, false}: "▀", {false, true}: "▄", {true, true}: "█",
}

// isTerminal says whether a person looks at w.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && os.Getenv("TERM") != "dumb" && isatty.IsTerminal(f.Fd())
}

// printWaiting is the status of a node that waits to be let in.
func printWaiting(w io.Writer, link, code, fingerprint string, expires, now time.Time) {
	fmt.Fprintf(w, "open %s\ncode %s  key %s  for another %s\n", link, code, fingerprint, max(0, expires.Sub(now)).Round(time.Second))
}
