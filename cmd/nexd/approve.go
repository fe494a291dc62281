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

// printApproval explains how to approve this node. The text goes to standard error,
// because standard output is for scripts and has only the ready line. Only a terminal
// gets the QR code.
func printApproval(w io.Writer, a node.Approval, terminal bool) {
	var b strings.Builder
	fmt.Fprintf(&b, "\nTo let this node join, open this link and sign in:\n\n    %s\n\n", a.Link)
	fmt.Fprintf(&b, "The page must show the code  %s\nand the key fingerprint      %s\n", a.Code, a.Fingerprint)
	fmt.Fprintf(&b, "Waiting until %s; Ctrl-C gives up.\n\n", a.Expires.Local().Format("15:04:05"))
	if terminal {
		b.WriteString(qrCode(a.Link))
	}
	io.WriteString(w, b.String()) // in one piece, so no log line interrupts it
}

// qrCode draws text in half blocks, two modules per character. It sets its own colours,
// because scanners expect dark on light. It returns nothing if text does not fit.
func qrCode(text string) string {
	code, err := qr.Encode(text, qr.L)
	if err != nil || code.Size > 80 {
		return ""
	}
	const quiet = 4 // modules of margin, as the standard requires
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

// halfBlock maps the lightness of the upper and the lower half to a character.
var halfBlock = map[[2]bool]string{
	{false, false}: " ", {true, false}: "▀", {false, true}: "▄", {true, true}: "█",
}

// isTerminal reports whether w is a terminal.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && os.Getenv("TERM") != "dumb" && isatty.IsTerminal(f.Fd())
}

// printWaiting prints the status of a node that waits for approval.
func printWaiting(w io.Writer, link, code, fingerprint string, expires, now time.Time) {
	fmt.Fprintf(w, "open %s\ncode %s  key %s  for another %s\n", link, code, fingerprint, max(0, expires.Sub(now)).Round(time.Second))
}
