package web

import (
	"fmt"
	"net/http/httptest"
)

// The pages are a handler; whoever is not signed in is led to where they can.
func ExampleNew() {
	pages, err := New(Config{People: newFake(), PublicURL: "https://mesh.example.org"})
	if err != nil {
		fmt.Println(err)
		return
	}
	answer := httptest.NewRecorder()
	pages.ServeHTTP(answer, httptest.NewRequest("GET", "/orgs/default/nodes", nil))
	fmt.Println(answer.Code, answer.Header().Get("Location"))
	// Output: 303 /login?next=%2Forgs%2Fdefault%2Fnodes
}
