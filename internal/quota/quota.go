package quota

import "sync"

// Table counts what each holder has. Its zero value is ready, and its methods may be called
// from any goroutine. A holder that has nothing takes no memory.
type Table[K comparable] struct {
	mu   sync.Mutex
	held map[K]int
}

// Take counts one more for a holder. It returns false, and counts nothing, if the holder has
// limit or more already.
func (t *Table[K]) Take(holder K, limit int) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.held[holder] >= limit {
		return false
	}
	if t.held == nil {
		t.held = map[K]int{}
	}
	t.held[holder]++
	return true
}

// Give counts one back for a holder that took it before.
func (t *Table[K]) Give(holder K) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.held[holder]--; t.held[holder] <= 0 {
		delete(t.held, holder)
	}
}

// Holders is the number of holders that have something.
func (t *Table[K]) Holders() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.held)
}
