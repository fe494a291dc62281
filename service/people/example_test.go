package people_test

import (
	"fmt"

	"nexd/service/people"
)

// A code is read however a person types it.
func ExampleParseUserCode() {
	for _, typed := range []string{"wdjb mjht", "WDJB-MJHT", "WDJB-MJH1"} {
		code, ok := people.ParseUserCode(typed)
		fmt.Printf("%q %v\n", code, ok)
	}
	// Output:
	// "WDJB-MJHT" true
	// "WDJB-MJHT" true
	// "" false
}
