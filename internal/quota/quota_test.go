package quota_test

import (
	"fmt"
	"sync"
	"testing"

	"nexd/internal/quota"
)

func ExampleTable() {
	var connections quota.Table[string]
	for range 3 {
		fmt.Println("ada", connections.Take("ada", 2))
	}
	fmt.Println("bob", connections.Take("bob", 2))
	connections.Give("ada")
	fmt.Println("ada", connections.Take("ada", 2))
	// Output:
	// ada true
	// ada true
	// ada false
	// bob true
	// ada true
}

func TestTableForgetsHoldersOfNothing(t *testing.T) {
	var table quota.Table[int]
	var wg sync.WaitGroup
	for holder := range 8 {
		wg.Go(func() {
			for range 1000 {
				if !table.Take(holder, 1) {
					t.Errorf("holder %d has one although it gave it back", holder)
				}
				table.Give(holder)
			}
		})
	}
	wg.Wait()
	if n := table.Holders(); n != 0 {
		t.Errorf("%d holders are left", n)
	}
	if table.Take(1, 0) {
		t.Error("one taken where the limit is 0")
	}
}
