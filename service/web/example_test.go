package web_test

import (
	"context"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"

	"nexd/service/people"
	"nexd/service/store"
	"nexd/service/web"
)

// The pages are a handler. A visitor who is not signed in is led to the sign-in page.
func ExampleNew() {
	dir, _ := os.MkdirTemp("", "nexd-example")
	defer os.RemoveAll(dir)
	st, _ := store.Open(context.Background(), filepath.Join(dir, "nexd.db"), store.Options{Create: true})
	defer st.Close()
	ppl, _ := people.New(people.Config{Store: st})
	pages, err := web.New(web.Config{People: ppl, PublicURL: "https://mesh.example.org"})
	if err != nil {
		fmt.Println(err)
		return
	}
	answer := httptest.NewRecorder()
	pages.ServeHTTP(answer, httptest.NewRequest("GET", "/orgs/default/nodes", nil))
	fmt.Println(answer.Code, answer.Header().Get("Location"))
	// Output: 303 /login?next=%2Forgs%2Fdefault%2Fnodes
}
