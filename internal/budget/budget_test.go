package budget_test

import (
	"fmt"
	"sync"
	"testing"

	"nexd/internal/budget"
)

func ExampleBudget() {
	b := budget.New(2 * budget.TCP)
	fmt.Println(b.Take(budget.TCP), b.Take(budget.TCP), b.Take(budget.TCP))
	b.Give(budget.TCP)
	fmt.Println(b.Take(budget.TCP))
	times, _ := b.Refused()
	fmt.Println(times, "refused")
	// Output:
	// true true false
	// true
	// 1 refused
}

// Many takers at once never get more than there is.
func TestTakersNeverHoldMoreThanTheBudget(t *testing.T) {
	b := budget.New(100 * budget.Ping)
	var admitted sync.Map
	var all sync.WaitGroup
	for worker := range 8 {
		all.Go(func() {
			n := 0
			for range 1000 {
				if b.Take(budget.Ping) {
					n++
				}
			}
			admitted.Store(worker, n)
		})
	}
	all.Wait()
	sum := 0
	for worker := range 8 {
		n, _ := admitted.Load(worker)
		sum += n.(int)
	}
	if sum > 100 || b.Held() != int64(sum)*budget.Ping {
		t.Errorf("%d admitted of at most 100; %d bytes held", sum, b.Held())
	}
}

func TestTightBudgetAdmitsOnlyItsFloor(t *testing.T) {
	b := budget.New(80 * budget.TCP)
	b.SetTight(true)
	n := 0
	for b.Take(budget.TCP) {
		n++
	}
	if n != 10 || !b.Full() {
		t.Errorf("%d admitted while memory is tight, want a tenth of 80 and two; full %v", n, b.Full())
	}
	b.SetTight(false)
	if b.Full() || !b.Take(budget.TCP) {
		t.Error("nothing is admitted after memory has become free")
	}
}

func TestNoBudgetAdmitsEverything(t *testing.T) {
	var none *budget.Budget
	none.Give(budget.TCP)
	if !none.Take(1<<60) || none.Full() || none.Buffers() != nil || none.Held() != 0 || none.Most(1) < 1<<30 {
		t.Error("a nil budget refuses")
	}
	unlimited := budget.New(0)
	if !unlimited.Take(1<<40) || unlimited.Buffers() != nil || unlimited.Held() != 1<<40 {
		t.Error("a budget without a size refuses, or does not count")
	}
}

// All connections together may hold half as much data as the budget has.
func TestBuffersAreShared(t *testing.T) {
	b := budget.New(100 * budget.TCP)
	most := b.Buffers()
	if most() != 50*budget.TCP {
		t.Errorf("the first connection may hold %d bytes", most())
	}
	for range 49 {
		b.Take(budget.TCP)
	}
	if most() != budget.TCP {
		t.Errorf("each of 50 connections may hold %d bytes, want a fiftieth of half the budget", most())
	}
}
