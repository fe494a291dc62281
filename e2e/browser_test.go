package e2e

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"nexd/internal/eventually"
)

//go:embed testdata/axe.min.js
var axe string

// browser is one tab of headless Chromium.
type browser struct {
	t     *testing.T
	ctx   context.Context
	base  string // of the service
	shots string // where pictures go
	seen  map[string]bool
}

const patience = 45 * time.Second

// newBrowser starts Chromium, which accepts every certificate.
func newBrowser(t *testing.T, base string) *browser {
	t.Helper()
	program, err := exec.LookPath("chromium")
	if err != nil {
		missing(t, "chromium is not installed")
	}
	flags := []chromedp.ExecAllocatorOption{
		chromedp.ExecPath(program), chromedp.UserDataDir(t.TempDir()), chromedp.Headless, chromedp.NoSandbox, chromedp.DisableGPU, chromedp.NoFirstRun, chromedp.NoDefaultBrowserCheck, chromedp.IgnoreCertErrors,
	}
	for _, f := range []string{"disable-background-networking", "disable-component-update", "disable-sync", "disable-quic", "disable-dev-shm-usage", "hide-scrollbars"} {
		flags = append(flags, chromedp.Flag(f, true))
	}
	all, end := chromedp.NewExecAllocator(context.Background(), flags...)
	t.Cleanup(end)
	ctx, stop := chromedp.NewContext(all)
	t.Cleanup(stop)
	b := &browser{t: t, ctx: ctx, base: base, shots: os.Getenv("NEXD_SCREENSHOTS"), seen: map[string]bool{}}
	if b.shots == "" {
		b.shots = "screenshots-out"
	}
	if err := os.MkdirAll(b.shots, 0o755); err != nil {
		t.Fatal(err)
	}
	b.refused()
	b.look(false, 1280, 800)
	return b
}

// refused fails the test at its end if a page violated its own policy or if its script
// failed.
func (b *browser) refused() {
	b.t.Helper()
	var mu sync.Mutex
	var complaints []string
	err := chromedp.Listen(b.ctx, func(ev any) {
		if e, ok := ev.(*log.EventEntryAdded); ok && e.Entry.Level == "error" && (e.Entry.Source == "security" || e.Entry.Source == "javascript") {
			mu.Lock()
			defer mu.Unlock()
			complaints = append(complaints, e.Entry.Text+" "+e.Entry.URL)
		}
	})
	if err != nil {
		b.t.Fatal(err)
	}
	t := b.t
	t.Cleanup(func() {
		mu.Lock()
		defer mu.Unlock()
		for _, c := range complaints {
			t.Errorf("the browser complains: %s", c)
		}
	})
	b.do("log", func(ctx context.Context, t *chromedp.Target) (chromedp.Void, error) {
		_, err := cdp.Call(ctx, t, log.Enable, cdp.Empty{})
		return chromedp.Void{}, err
	})
}

// do runs steps, with a limit.
func (b *browser) do(what string, steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	if chromedpRan(b.ctx) {
		ctx, cancel := context.WithTimeout(b.ctx, patience)
		defer cancel()
		b.check(what, chromedp.Do(ctx, steps...))
		return
	}
	b.check(what, chromedp.Do(b.ctx, steps...)) // the first run carries the browser's life
}

func chromedpRan(ctx context.Context) bool {
	c := chromedp.FromContext(ctx)
	return c != nil && c.Browser != nil
}

func (b *browser) check(what string, err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatalf("%s: %v\nat %s\n%s", what, err, b.eval("location.href"), b.eval("document.body.innerText"))
	}
}

// eval returns the value of a script as text, or an empty text.
func (b *browser) eval(script string) string {
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	s, err := chromedp.Run(ctx, chromedp.Evaluate[string](script, chromedp.EvalAwaitPromise))
	if err != nil && !errors.Is(err, chromedp.ErrJSNull) && !errors.Is(err, chromedp.ErrJSUndefined) {
		return "(" + err.Error() + ")"
	}
	return s
}

func (b *browser) open(path string) {
	b.t.Helper()
	if !strings.HasPrefix(path, "https:") {
		path = b.base + path
	}
	b.do("open "+path, chromedp.Navigate(path))
}

// sees waits until the page shows a text.
func (b *browser) sees(texts ...string) {
	b.t.Helper()
	for _, text := range texts {
		b.until(fmt.Sprintf("%q is seen", text), func() bool { return strings.Contains(b.eval("document.body.innerText"), text) })
	}
}

// until waits for a condition; its failure shows the page.
func (b *browser) until(what string, ok func() bool) {
	b.t.Helper()
	have := func() string {
		return fmt.Sprintf("%s\nat %s\n%s", what, b.eval("location.href"), b.eval("document.body.innerText"))
	}
	eventually.Shown(b.t, patience, have, ok)
}

// lacks fails the test if the page shows a text.
func (b *browser) lacks(text string) {
	b.t.Helper()
	if strings.Contains(b.eval("document.documentElement.outerHTML"), text) {
		b.t.Errorf("%q is at %s", text, b.eval("location.href"))
	}
}

// fill types into fields: pairs of id and text.
func (b *browser) fill(pairs ...string) {
	b.t.Helper()
	for i := 0; i < len(pairs); i += 2 {
		b.do("go to "+pairs[i], chromedp.Evaluate[chromedp.Void](`document.getElementById("`+pairs[i]+`").select()`))
		b.do("type into "+pairs[i], chromedp.SendKeys(chromedp.ID(pairs[i]), pairs[i+1]))
	}
}

// press moves to the button or link with the text in main using the Tab key, like a user
// without a mouse, and presses Enter.
func (b *browser) press(text string) {
	b.t.Helper()
	b.do("start at the top", chromedp.Evaluate[chromedp.Void](`document.querySelector("main").focus()`))
	for range 60 {
		b.do("tab", chromedp.KeyEvent(kb.Tab))
		if at := b.eval(`document.activeElement.textContent.replace(/\s+/g, " ").trim()`); at == text {
			if b.eval(`getComputedStyle(document.activeElement).outlineStyle`) == "none" {
				b.t.Errorf("no focus is seen on %q", text)
			}
			before := b.eval("performance.timeOrigin.toString()")
			b.do("press "+text, chromedp.KeyEvent(kb.Enter))
			b.until("a page after "+text, func() bool {
				return b.eval("performance.timeOrigin.toString()") != before && b.eval("document.readyState") == "complete"
			})
			return
		}
	}
	b.t.Fatalf("no %q to be reached by keyboard at %s:\n%s", text, b.eval("location.href"), b.eval("document.body.innerText"))
}

// look sets the width and the color scheme.
func (b *browser) look(dark bool, width, height int64) {
	b.t.Helper()
	scheme := "light"
	if dark {
		scheme = "dark"
	}
	b.do("look", func(ctx context.Context, t *chromedp.Target) (chromedp.Void, error) {
		_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
			{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"},
		}})
		return chromedp.Void{}, err
	}, chromedp.EmulateViewport(width, height))
}

// picture saves pictures of the page, narrow and wide, light and dark, and checks each
// with axe.
func (b *browser) picture(name string) {
	b.t.Helper()
	if b.seen[name] {
		return
	}
	b.seen[name] = true
	b.do("load axe", chromedp.Evaluate[chromedp.Void](axe))
	for _, size := range []struct {
		name          string
		width, height int64
	}{{"375", 375, 812}, {"desktop", 1280, 800}} {
		for _, dark := range []bool{false, true} {
			b.look(dark, size.width, size.height)
			as := name + "-" + size.name + map[bool]string{false: "-light", true: "-dark"}[dark]
			png, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(100))
			b.check("picture of "+as, err)
			if err := os.WriteFile(filepath.Join(b.shots, as+".png"), png, 0o644); err != nil {
				b.t.Fatal(err)
			}
			if b.eval("String(document.documentElement.scrollWidth > innerWidth)") != "false" {
				b.t.Errorf("%s is wider than the screen", as)
			}
			b.judge(as)
		}
	}
	b.look(false, 1280, 800)
}

// judge checks the page with axe-core.
func (b *browser) judge(as string) {
	b.t.Helper()
	found := b.eval(`axe.run().then(r => JSON.stringify(r.violations.map(v => ({
		impact: v.impact, id: v.id, nodes: v.nodes.map(n => n.html.slice(0, 200) + " " + n.failureSummary)}))))`)
	var violations []struct {
		Impact, ID string
		Nodes      []string
	}
	if err := json.Unmarshal([]byte(found), &violations); err != nil {
		b.t.Fatalf("axe on %s: %v: %s", as, err, found)
	}
	for _, v := range violations {
		report := b.t.Logf
		if v.Impact == "serious" || v.Impact == "critical" {
			report = b.t.Errorf
		}
		report("axe on %s: %s %s: %s", as, v.Impact, v.ID, strings.Join(v.Nodes, "\n"))
	}
}
