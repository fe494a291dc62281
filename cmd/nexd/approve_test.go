package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"rsc.io/qr"

	"nexd/agent/localapi"
	"nexd/internal/program"
	"nexd/node"
)

var approval = node.Approval{
	Link: "https://mesh.example:8443/device?user_code=WDJB-MJHT", Page: "https://mesh.example:8443/device",
	Code: "WDJB-MJHT", Fingerprint: "6668 7aad f862 bd77 6c8f", Expires: time.Now().Add(10 * time.Minute),
}

func TestApprovalIsPrinted(t *testing.T) {
	for _, terminal := range []bool{false, true} {
		var b bytes.Buffer
		printApproval(&b, approval, terminal)
		for _, want := range []string{"\n    " + approval.Link + "\n", approval.Code, approval.Fingerprint, "Ctrl-C"} {
			if !strings.Contains(b.String(), want) {
				t.Errorf("terminal %v: no %q in\n%s", terminal, want, &b)
			}
		}
		if got := strings.ContainsAny(b.String(), "█\x1b"); got != terminal {
			t.Errorf("terminal %v: QR code %v", terminal, got)
		}
	}
}

// TestQRCodeShowsTheLink reads the half blocks back and compares module by module.
func TestQRCodeShowsTheLink(t *testing.T) {
	code, err := qr.Encode(approval.Link, qr.L)
	if err != nil {
		t.Fatal(err)
	}
	drawn := regexp.MustCompile("\x1b\\[[0-9;]*m").ReplaceAllString(qrCode(approval.Link), "")
	rows := strings.Split(strings.TrimRight(drawn, "\n"), "\n")
	for y := -4; y < code.Size+4; y++ {
		row := []rune(rows[(y+4)/2])
		if len(row) != code.Size+8 {
			t.Fatalf("row %d has %d modules, want %d", y, len(row), code.Size+8)
		}
		for x := -4; x < code.Size+4; x++ {
			upper := row[x+4] == '▀' || row[x+4] == '█'
			lower := row[x+4] == '▄' || row[x+4] == '█'
			light := upper
			if (y+4)%2 == 1 {
				light = lower
			}
			if light == code.Black(x, y) {
				t.Fatalf("module %d,%d is drawn light=%v", x, y, light)
			}
		}
	}
	if got := qrCode(strings.Repeat("x", 5000)); got != "" {
		t.Error("what does not fit is drawn")
	}
}

func TestAFileIsNoTerminal(t *testing.T) {
	f, err := os.Create(t.TempDir() + "/f")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	if isTerminal(f) || isTerminal(null) || isTerminal(new(bytes.Buffer)) {
		t.Error("taken for a terminal")
	}
}

func TestStatusOfAWaitingNode(t *testing.T) {
	var b bytes.Buffer
	now := time.Now()
	printStatus(&b, localapi.Status{
		State: localapi.StateWaiting, Mode: "userspace", Service: localapi.Service{URL: "https://mesh.example:8443"},
		Approval: &localapi.Approval{Link: approval.Link, Code: approval.Code, Fingerprint: approval.Fingerprint, Expires: now.Add(90 * time.Second)},
	}, now)
	for _, want := range []string{"waiting for approval", approval.Link, approval.Code, approval.Fingerprint, "1m30s"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, &b)
		}
	}
	if strings.Contains(b.String(), "PEER") {
		t.Errorf("peers of a node that has none:\n%s", &b)
	}
}

// With JSON logs, every line on standard error is a JSON object, also the request for approval and
// the error with which nexd ends.
func TestJSONLog(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	var out, errs bytes.Buffer
	args := []string{"--userspace", "--proxy-listen=" + taken.Addr().String(), "--log-format=json", "--state-dir=" + t.TempDir() + "/s", url}
	if code := run(t.Context(), args, program.Streams{In: strings.NewReader(""), Out: &out, Err: &errs}); code != program.ExitFailed || out.Len() > 0 {
		t.Errorf("exit %d, %s\n%s", code, &out, &errs)
	}
	var last map[string]any
	for line := range strings.Lines(errs.String()) {
		last = nil
		if err := json.Unmarshal([]byte(line), &last); err != nil {
			t.Errorf("%s: %v", line, err)
		}
	}
	if last["msg"] != "ended" || last["exit_code"] != float64(program.ExitFailed) || !strings.Contains(fmt.Sprint(last["err"]), "choose another --proxy-listen") {
		t.Errorf("the last line is %v", last)
	}

	errs.Reset()
	c := &cli{std: program.Streams{Err: &errs}, level: new(slog.LevelVar)}
	c.LogFormat, c.LogLevel, c.StateDir = program.LogJSON, "info", t.TempDir()
	cfg, err := c.config(routerCmd{ServiceURL: url})
	if err != nil {
		t.Fatal(err)
	}
	cfg.Approve(node.Approval{Link: "https://mesh.example/device?user_code=A", Code: "A", Fingerprint: "6668 7aad"})
	if err := json.Unmarshal(errs.Bytes(), &last); err != nil || last["link"] != "https://mesh.example/device?user_code=A" || last["code"] != "A" || last["fingerprint"] != "6668 7aad" {
		t.Errorf("%v: %s", err, &errs)
	}
}
