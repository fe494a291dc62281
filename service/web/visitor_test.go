package web

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
)

// visitor is a browser in a test: it keeps cookies, and sends what forms carry.
type visitor struct {
	t       *testing.T
	h       http.Handler
	host    string
	cookies map[string]string
	header  http.Header // sent with every request
	last    *httptest.ResponseRecorder
	path    string // asked for last
}

func visit1(t *testing.T, h http.Handler) *visitor {
	return &visitor{t: t, h: h, host: "mesh.example.org", cookies: map[string]string{}, header: http.Header{}}
}

func (v *visitor) send(r *http.Request) *visitor {
	v.t.Helper()
	r.Host = v.host
	for k, vs := range v.header {
		r.Header[k] = vs
	}
	for name, value := range v.cookies {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	v.last, v.path = httptest.NewRecorder(), r.URL.RequestURI()
	v.h.ServeHTTP(v.last, r)
	for _, c := range v.last.Result().Cookies() {
		if c.MaxAge < 0 {
			delete(v.cookies, c.Name)
		} else {
			v.cookies[c.Name] = c.Value
		}
	}
	return v
}

func (v *visitor) get(path string) *visitor {
	v.t.Helper()
	return v.send(httptest.NewRequest("GET", "https://"+v.host+path, nil))
}

var formToken = regexp.MustCompile(`name="form" value="([^"]+)"`)

// token is the form token of the page seen last.
func (v *visitor) token() string {
	v.t.Helper()
	m := formToken.FindStringSubmatch(v.body())
	if m == nil {
		v.t.Fatalf("no form token on the page:\n%s", v.body())
	}
	return m[1]
}

// post sends a form as the page seen last would: pairs are names and values.
func (v *visitor) post(path string, pairs ...string) *visitor {
	v.t.Helper()
	f := url.Values{"form": {v.token()}}
	for i := 0; i < len(pairs); i += 2 {
		f.Set(pairs[i], pairs[i+1])
	}
	return v.postRaw(path, f, "same-origin")
}

func (v *visitor) postRaw(path string, f url.Values, site string) *visitor {
	v.t.Helper()
	r := httptest.NewRequest("POST", "https://"+v.host+path, strings.NewReader(f.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if site != "" {
		r.Header.Set("Sec-Fetch-Site", site)
	}
	return v.send(r)
}

func (v *visitor) at() string       { return v.path }
func (v *visitor) body() string     { return v.last.Body.String() }
func (v *visitor) location() string { return v.last.Header().Get("Location") }

// want checks the status and that the page has all of the texts.
func (v *visitor) want(status int, texts ...string) *visitor {
	v.t.Helper()
	if v.last.Code != status {
		v.t.Fatalf("status %d, want %d; Location %q\n%s", v.last.Code, status, v.location(), v.body())
	}
	for _, text := range texts {
		if !strings.Contains(v.body(), text) {
			v.t.Errorf("the page lacks %q:\n%s", text, v.body())
		}
	}
	return v
}

// wantNot checks that the page has none of the texts.
func (v *visitor) wantNot(texts ...string) *visitor {
	v.t.Helper()
	for _, text := range texts {
		if strings.Contains(v.body(), text) {
			v.t.Errorf("the page has %q:\n%s", text, v.body())
		}
	}
	return v
}

// wantTo checks for a redirect.
func (v *visitor) wantTo(path string) *visitor {
	v.t.Helper()
	v.want(http.StatusSeeOther)
	if v.location() != path {
		v.t.Fatalf("sent to %q, want %q", v.location(), path)
	}
	return v
}

// follow goes where the last answer sent to.
func (v *visitor) follow() *visitor {
	v.t.Helper()
	v.want(http.StatusSeeOther)
	return v.get(v.location())
}

// signIn signs in Ada by the form.
func (v *visitor) signIn() *visitor {
	v.t.Helper()
	return v.signInAs("ada@example.org")
}

func (v *visitor) signInAs(email string) *visitor {
	v.t.Helper()
	return v.get("/login").want(200).post("/login", "email", email, "password", password).want(303)
}
