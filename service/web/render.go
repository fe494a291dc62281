package web

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"path"
	"strconv"
	"strings"
	"time"

	"nexd/control"
	"nexd/service/people"
)

//go:embed templates/*.html
var templateFiles embed.FS

//go:embed static
var staticFiles embed.FS

// shown is the data of a page. show fills in the second half, which all pages have.
type shown struct {
	Title string
	Tab   string // of the organization's pages
	Solo  bool   // one narrow column
	Wait  int    // reload after so many seconds
	Wrong []wrong
	Data  any

	Form   string // the token in the forms
	Caller *people.Caller
	Orgs   []control.Organization
	Org    *control.Organization
	Manage bool // the visitor may change the organization
	Sees   bool // … or see keys and the audit
	Flash  *flash
}

// wrong is a problem of an input or, without Field, of the whole form.
type wrong struct{ Field, Text string }

// Bad is the problem of one field.
func (s shown) Bad(field string) string {
	for _, x := range s.Wrong {
		if x.Field == field {
			return x.Text
		}
	}
	return ""
}

type pages struct {
	byName map[string]*template.Template
	sums   map[string]string // of static files
}

func loadPages(now func() time.Time) (*pages, error) {
	p := &pages{byName: map[string]*template.Template{}, sums: map[string]string{}}
	files, err := fs.ReadDir(staticFiles, "static")
	if err != nil {
		return nil, err
	}
	for _, f := range files {
		b, err := staticFiles.ReadFile("static/" + f.Name())
		if err != nil {
			return nil, err
		}
		sum := sha256.Sum256(b)
		p.sums[f.Name()] = hex.EncodeToString(sum[:8])
	}
	frame, err := template.New("frame").Funcs(p.funcs(now)).ParseFS(templateFiles, "templates/frame.html", "templates/parts.html")
	if err != nil {
		return nil, err
	}
	names, err := fs.Glob(templateFiles, "templates/*.html")
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		t, err := frame.Clone()
		if err == nil {
			t, err = t.ParseFS(templateFiles, name)
		}
		if err != nil {
			return nil, err
		}
		p.byName[strings.TrimSuffix(path.Base(name), ".html")] = t
	}
	return p, nil
}

func (p *pages) funcs(now func() time.Time) template.FuncMap {
	return template.FuncMap{
		"static":      func(name string) string { return "/static/" + name + "?v=" + p.sums[name] },
		"orgpath":     orgPath,
		"ago":         func(t time.Time) string { return ago(now(), t) },
		"stamp":       func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") },
		"rfc":         func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
		"dict":        dict,
		"join":        func(words []string) string { return strings.Join(words, " ") },
		"minpassword": func() int { return people.MinPassword },
	}
}

// dict passes several named values to a template.
func dict(pairs ...any) (map[string]any, error) {
	m := make(map[string]any, len(pairs)/2)
	for i := 0; i+1 < len(pairs); i += 2 {
		key, ok := pairs[i].(string)
		if !ok {
			return nil, fmt.Errorf("web: dict key %v is no string", pairs[i])
		}
		m[key] = pairs[i+1]
	}
	return m, nil
}

// static serves stylesheet, script and icon. Their URLs change with their contents, so
// that browsers may cache them for ever.
func (p *pages) static() http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		name := r.PathValue("file")
		sum, ok := p.sums[name]
		if !ok {
			http.NotFound(rw, r)
			return
		}
		if r.URL.Query().Get("v") == sum {
			rw.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
		}
		http.ServeFileFS(rw, r, staticFiles, "static/"+name)
	})
}

// show writes a page. It renders the whole page first, so that an error never leaves
// half a page.
func (w *Web) show(rw http.ResponseWriter, r *http.Request, v *visit, status int, name string, s shown) error {
	s.Caller, s.Orgs = v.caller, v.orgs
	if v.org.ID != "" {
		s.Org, s.Manage, s.Sees = &v.org, v.manages(), v.sees()
	}
	s.Form, s.Flash = w.formToken(rw, r, v), w.takeFlash(rw, r)
	t, ok := w.pages.byName[name]
	if !ok {
		return fmt.Errorf("web: no template %s", name)
	}
	var b bytes.Buffer
	if err := t.ExecuteTemplate(&b, "frame", s); err != nil {
		w.log.Error("page not rendered", "page", name, "err", err)
		rw.Header().Set("Content-Type", "text/plain; charset=utf-8")
		rw.WriteHeader(http.StatusInternalServerError)
		fmt.Fprintln(rw, "The service could not render this page. Its log has the reason.")
		return nil
	}
	rw.Header().Set("Content-Type", "text/html; charset=utf-8")
	rw.WriteHeader(status)
	_, err := rw.Write(b.Bytes())
	if err != nil {
		w.log.Debug("page not sent", "err", err)
	}
	return nil
}

// ago is a time relative to now, in words.
func ago(now, t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	d := now.Sub(t)
	if d < 0 {
		return "in " + span(-d)
	}
	if d < 10*time.Second {
		return "just now"
	}
	return span(d) + " ago"
}

func span(d time.Duration) string {
	for _, u := range []struct {
		size time.Duration
		name string
	}{{24 * time.Hour, "day"}, {time.Hour, "hour"}, {time.Minute, "minute"}} {
		if n := int((d + u.size/20) / u.size); n > 0 {
			return plural(n, u.name)
		}
	}
	return plural(max(int(d/time.Second), 1), "second")
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return strconv.Itoa(n) + " " + what + "s"
}

// inSeconds is a duration as the calls of people carry it.
func inSeconds(d time.Duration) int64 { return int64(d / time.Second) }

func seconds(d time.Duration) string { return strconv.Itoa(int((d + time.Second - 1) / time.Second)) }
